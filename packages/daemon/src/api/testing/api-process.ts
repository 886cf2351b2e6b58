// A program for tests of clients: the API over an agent that runs already, until it is killed. Arguments: a directory with the agent's sockets in `ports/`, and a port, 0 for any. Everything durable lies in the directory, so
// that it can be started there again. Sprite `one` is awake. Prints one line of JSON: url and token.
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ControlAndDataChannels } from '@sylph/channel';
import { JournalKeeper } from '@sylph/sessions';
import { openSqliteRepository } from '@sylph/store-sqlite';
import { pino } from 'pino';
import { createToken } from '../../auth/tokens.ts';
import { buildApi } from '../build.ts';
import { AgentService } from './agent-service.ts';

const deadlineMs = 20_000;
const [dir = '', port = '0'] = process.argv.slice(2);

const channel = await new ControlAndDataChannels().connect(
  { data: join(dir, 'ports/data'), control: join(dir, 'ports/control') },
  { deadlineMs, signal: AbortSignal.timeout(deadlineMs) },
);
await channel.open({ deadlineMs });
// Above all ids of earlier processes.
await mkdir(join(dir, 'sessions'), { recursive: true });
let lastId = Math.max(0, ...(await readdir(join(dir, 'sessions'))).map(Number).filter(Number.isInteger));
const sessions = await new JournalKeeper({ log: { warn: () => {} }, notify: async () => {} }).open({
  spriteId: 'one',
  dir: join(dir, 'sessions'),
  nextId: async () => String(++lastId),
  onActivity: () => {},
});
await sessions.connect(channel);

const repository = openSqliteRepository(join(dir, 'sylph.db'));
const tokenFile = join(dir, 'token');
const token = await readFile(tokenFile, 'utf8').catch(() =>
  createToken(repository, { org: 'acme', description: 'test', expiresAt: null }),
);
await writeFile(tokenFile, token);

const service = new AgentService(dir, undefined as never, channel, sessions);
const org = await repository.ensureOrg('acme');
await service.create(org, { name: 'one' });
await service.start(org, 'one');

const app = buildApi({
  service,
  repository,
  host: () => Promise.reject(new Error('a test has no host')),
  logger: pino({ level: 'silent' }),
  version: '0.1.0',
  spriteUrl: (name, suffix) => `http://${name}-${suffix}.test`,
  domain: 'test',
  ready: () => true,
  limits: { requestsPerMinute: 0, creationsPerMinute: 0 },
});
const url = await app.listen({ host: '127.0.0.1', port: Number(port) });
process.stdout.write(`${JSON.stringify({ url, token })}\n`);
process.stdin.resume();
await once(process.stdin, 'end');
await app.close();
process.exit(0);
