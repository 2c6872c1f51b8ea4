// An agent: its input arrives as JSON on stdin, what it prints is its output. Exit code 0 is success.
let json = ''
for await (const chunk of process.stdin) json += chunk
const text = String(JSON.parse(json)?.text ?? '')
const words = text.match(/\S+/g)?.length ?? 0
const lines = text === '' ? 0 : text.split('\n').length
process.stdout.write(JSON.stringify({ lines, words, characters: [...text].length }))
