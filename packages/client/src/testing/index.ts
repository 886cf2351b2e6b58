export { FakeServer, type FakeFaults } from './fake-server.ts';
export { FakeSession, type FakeCommand } from './fake-session.ts';
