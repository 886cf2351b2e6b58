// A program for tests: keeps the sessions of one sprite as a daemon does, until it is killed. Arguments: data socket, control socket, directory, first session id.
import { once } from 'node:events';
import { ControlAndDataChannels } from '@sylph/channel';
import { JournalKeeper } from '../keeper.ts';
import { request } from './fixture.ts';

const [data = '', control = '', dir = '', firstId = '1', ...argv] = process.argv.slice(2);
let lastId = Number(firstId) - 1;
const sessions = await new JournalKeeper({
  log: { warn: (_fields, message) => console.error(message) },
  notify: async () => {},
}).open({
  spriteId: 'sprite',
  dir,
  nextId: async () => String(++lastId),
  onActivity: () => {},
});
const channel = await new ControlAndDataChannels().connect(
  { data, control },
  { deadlineMs: 20_000, signal: new AbortController().signal },
);
await channel.open({ deadlineMs: 20_000 });
await sessions.connect(channel);
if (argv.length > 0) await sessions.start(request(argv));
process.stdout.write('ready\n');
await once(process.stdin, 'end');
