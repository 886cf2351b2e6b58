import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { ClientError, SylphClient, webTransport, type ExecSession, type Transport } from './index.ts';
import { CuttingRelay } from './testing/cutting-relay.ts';
import { RealDaemon } from './testing/real-daemon.ts';

/** What flows each way, bytes. */
const flowBytes = 2_000_000;
/** Piece a command is fed with where sizes do not matter. */
const pieceBytes = 60_000;
/** Gives its input back on stderr as it comes, and in the end its hash on stdout. */
const hashing = ['sh', '-c', 'tee /dev/stderr | sha256sum; exit 7'];

/** The same bytes for the same number. */
function bytesOf(seed: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed | 1;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Whether a command was started is not known when its first connection breaks before its session has a name: that the caller decides, here by starting another one. */
async function opened(open: () => Promise<ExecSession>): Promise<ExecSession> {
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof ClientError) || !error.retryable) throw error;
    }
  }
}

/** Feeds a command in pieces of uneven size and gathers what it says. */
async function through(
  client: SylphClient,
  cmd: readonly string[],
  input: Uint8Array,
  sizes: () => number,
): Promise<{ stdout: Buffer; stderr: Buffer; code: number; resumed: number }> {
  let resumed = 0;
  const session = await opened(() =>
    client.exec('one', {
      cmd,
      stdin: true,
      // A daemon that is killed may need longer to be back than a command is left alone by itself.
      maxRunAfterDisconnectMs: 0,
      onConnection: ({ type }) => (resumed += type === 'resumed' ? 1 : 0),
    }),
  );
  const feeding = (async () => {
    for (let at = 0; at < input.length;) {
      const size = sizes();
      await session.stdin.write(input.subarray(at, at + size));
      at += size;
    }
    await session.stdin.end();
  })();
  const parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  for await (const { stream, bytes } of session.output) parts[stream].push(bytes);
  await feeding;
  const { code } = await session.exit;
  return { stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr), code, resumed };
}

describe('exec over connections that break', () => {
  let daemon: RealDaemon;
  before(async () => {
    daemon = await RealDaemon.start();
  });
  after(() => daemon[Symbol.asyncDispose]());

  const transports: Record<string, () => Transport | undefined> = {
    "Node's sockets": () => undefined,
    "the web's sockets": () => webTransport({ webSocket: (url, headers) => new WebSocket(url, { headers }) }),
  };
  for (const [name, transport] of Object.entries(transports))
    test(`output and input are whole wherever they are cut, over ${name}`, async (context: TestContext) => {
      const seed = Number(process.env['SYLPH_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
      context.diagnostic(`seed ${seed}; SYLPH_TEST_SEED repeats it`);
      let cuts = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.nat({ max: 2 ** 31 - 1 }),
          fc.infiniteStream(
            fc.oneof(
              { weight: 1, arbitrary: fc.integer({ min: 1, max: 3_000 }) },
              { weight: 3, arbitrary: fc.integer({ min: 3_000, max: 900_000 }) },
            ),
          ),
          fc.infiniteStream(fc.integer({ min: 1, max: 200_000 })),
          async (content, cutAfter, sizes) => {
            await using relay = await CuttingRelay.start(daemon.url, () => cutAfter.next().value as number);
            const client = new SylphClient({
              baseUrl: relay.url,
              token: daemon.token,
              transport: transport(),
              // A connection may break many times before it has told anything.
              resumeAttempts: 100,
            });
            const input = bytesOf(content, flowBytes);
            const { stdout, stderr, code } = await through(client, hashing, input, () => sizes.next().value as number);
            cuts += relay.cuts;
            assert.equal(sha256(stderr), sha256(input));
            assert.equal(stdout.toString(), `${sha256(input)}  -\n`);
            assert.equal(code, 7);
          },
        ),
        { seed, numRuns: 2, endOnFailure: true },
      );
      context.diagnostic(`${cuts} connections were cut`);
      assert.ok(cuts > 10, `only ${cuts} connections were cut`);
    });

  test('output and input are whole though the daemon is killed in the middle, twice', async () => {
    const client = new SylphClient({ baseUrl: daemon.url, token: daemon.token });
    const input = bytesOf(7, flowBytes);
    const restarts: Promise<void>[] = [];
    let fed = 0;
    const { stdout, stderr, code, resumed } = await through(client, hashing, input, () => {
      fed += pieceBytes;
      // The second time when it is back from the first, and has taken more.
      if (fed > (flowBytes / 3) * (restarts.length + 1) && restarts.length < 2) restarts.push(restart());
      return pieceBytes;
    });
    await Promise.all(restarts);
    assert.equal(sha256(stderr), sha256(input));
    assert.equal(stdout.toString(), `${sha256(input)}  -\n`);
    assert.equal(code, 7);
    assert.equal(resumed, 2);
  });

  async function restart(): Promise<void> {
    await daemon.kill();
    await daemon.begin();
  }
});
