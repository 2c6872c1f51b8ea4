// An agent: its input arrives as JSON on stdin, what it prints is its output.
let text = ''
for await (const chunk of process.stdin) text += chunk
process.stdout.write(text)
