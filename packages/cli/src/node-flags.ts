/**
 * Flags of Node.js for processes that serve. A coordinator or a worker under load makes much that is garbage a few
 * milliseconds later; a young generation twice as large as V8's default collects it half as often, and copies less of what
 * is still in use. An old generation that starts larger is not collected in full every second for a few megabytes that grew
 * old (`npm run bench -- w1-w2`, CPU of the coordinator). They have to be there when the process starts.
 */
export const nodeFlags: readonly string[] = ['--max-semi-space-size=32', '--initial-old-space-size=128']
