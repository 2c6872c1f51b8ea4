export { type FakeAnswer, type FakeRequest, type FakeServer, problem, startFakeServer } from './fake-server.js'
export { fakeSubtask, fakeTask } from './fake-task.js'
