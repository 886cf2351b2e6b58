import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gather } from './testing/ssh-client.ts';
import { SshWorld } from './testing/ssh-world.ts';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Waits until something holds. */
async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = Date.now() + 30_000; !(await holds()); await sleep(20))
    assert.ok(Date.now() < end, `waited in vain: ${what}`);
}

describe('commands and shells of OpenSSH', { concurrency: 2 }, () => {
  let world: SshWorld;
  before(async () => {
    world = await SshWorld.open();
  });
  after(() => world[Symbol.asyncDispose]());

  const running = async (): Promise<string[]> =>
    ((await world.service.peekSessions(world.org, 'one'))?.list() ?? []).map(({ request }) => request.argv.join(' '));

  test('output, errors, input and exit codes arrive as they are', async () => {
    for (const code of [0, 3, 127, 255]) {
      const ended = await world.ssh([`echo out; echo err >&2; cat; exit ${code}`], { input: 'in' });
      assert.deepEqual(ended, { code, stdout: 'out\nin', stderr: 'err\n' });
    }
  });

  test('a command goes through the shell, as sshd does it', async () => {
    const { stdout } = await world.ssh(['echo $((6*7)) | tr 2 3; echo "a  b"']);
    assert.equal(stdout, '43\na  b\n');
    const missing = await world.ssh(['no-such-command']);
    assert.equal(missing.code, 127);
    assert.match(missing.stderr, /no-such-command/);
  });

  test('a command that a signal ends is told so: ssh has 255 for it', async () => {
    const verbose = await world.ssh(['-v', 'kill -KILL $$'], { options: ['LogLevel=DEBUG1'] });
    assert.equal(verbose.code, 255);
    assert.match(verbose.stderr, /rtype exit-signal/);
  });

  test('an end of input reaches the command while its output still comes', async () => {
    const { stdout } = await world.ssh(['sort; sleep 0.2; echo end'], { input: 'b\na\n' });
    assert.equal(stdout, 'a\nb\nend\n');
  });

  test('a shell without a terminal takes a script', async () => {
    const ended = await world.ssh([], { input: 'cd /; pwd\nshopt login_shell\nexit 5\n' });
    assert.equal(ended.code, 5);
    assert.match(ended.stdout, /^\/\nlogin_shell\s+on\n$/);
  });

  test('a terminal has its size and name, and follows the window', async () => {
    await using client = await world.client();
    const command = 'stty size; echo $TERM; trap "stty size; exit 4" WINCH; echo ready; while :; do sleep 0.1; done';
    const channel = await client.exec(command, { pty: { rows: 30, cols: 100, term: 'vt100' } });
    const output = gather(channel);
    await until(() => output.text().includes('ready'), 'the command');
    channel.setWindow(31, 101, 0, 0);
    assert.equal(await output.exit, 4);
    assert.equal(output.text(), '30 100\r\nvt100\r\nready\r\n31 101\r\n');
  });

  test('a terminal takes what is typed, and the keys that mean something', async () => {
    const client = world.start(['-tt', 'cat; echo code $?; read line; echo got $line']);
    const output: string[] = [];
    client.stdout.on('data', (chunk: Buffer) => output.push(chunk.toString()));
    client.stdin.write('hello\n');
    await until(() => output.join('').includes('hello\r\nhello'), 'an echo');
    const closed = once(client, 'close');
    client.stdin.write('\u0003');
    assert.deepEqual(await closed, [255, null], 'an interrupt ends the command');
  });

  test('variables about looks are passed on, others are not', async () => {
    const ended = await world.ssh(['echo "$LC_TEST/$LANG/$LD_PRELOAD/$FOO/${SSH_CONNECTION%% *}"'], {
      options: ['SetEnv=LC_TEST=x LANG=en_GB.UTF-8 LD_PRELOAD=evil FOO=bar'],
    });
    assert.equal(ended.stdout, 'x/en_GB.UTF-8///127.0.0.1\n');
  });

  test('100 MB come and go whole, with keys exchanged anew meanwhile', async () => {
    const bytes = randomBytes(100_000_000);
    const file = join(world.dir, 'big');
    await writeFile(file, bytes);
    const options = ['RekeyLimit=16M'];
    const sent = await world.ssh(['sha256sum'], { input: bytes, options });
    assert.equal(sent.stdout.split(' ')[0], sha256(bytes));
    const got = join(world.dir, 'got');
    const ended = await world.run('bash', [
      '-c',
      `ssh ${world.options(...options).join(' ')} one@127.0.0.1 'cat ${file}; cat ${file} >&2' > ${got} 2> ${got}2`,
    ]);
    assert.equal(ended.code, 0);
    assert.equal(sha256(await readFile(got)), sha256(bytes));
    assert.equal(sha256(await readFile(`${got}2`)), sha256(bytes));
  });

  test('output and errors that both fill the window of a slow reader stay apart and whole', async () => {
    const client = world.start([
      'for i in $(seq 40); do head -c 131072 /dev/zero; head -c 131072 /dev/zero | tr "\\0" e >&2; done',
    ]);
    const count = { out: 0, err: 0, strange: 0 };
    const slow = async (stream: NodeJS.ReadableStream, name: 'out' | 'err', byte: number): Promise<void> => {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        count[name] += chunk.length;
        if (!chunk.every((one) => one === byte)) count.strange += 1;
        await sleep(2);
      }
    };
    await Promise.all([slow(client.stdout, 'out', 0), slow(client.stderr, 'err', 101)]);
    assert.deepEqual(count, { out: 40 * 131_072, err: 40 * 131_072, strange: 0 });
  });

  test('many commands share one connection', async () => {
    const control = join(world.dir, 'control');
    const master = world.start(['-N'], { options: ['ControlMaster=yes', `ControlPath=${control}`] });
    await until(
      async () =>
        (await world.run('ssh', [...world.options(`ControlPath=${control}`), '-O', 'check', 'one@127.0.0.1'])).code ===
        0,
      'a master',
    );
    const all = await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        world.ssh([`sleep 0.3; echo ${i}`], { options: [`ControlPath=${control}`] }),
      ),
    );
    assert.deepEqual(
      all.map(({ stdout }) => stdout),
      all.map((_, i) => `${i}\n`),
    );
    master.kill();
    await once(master, 'close');
  });

  test('a client that is killed takes its command with it', async () => {
    const client = world.start(['-tt', 'sleep 4321']);
    await until(async () => (await running()).some((line) => line.includes('sleep 4321')), 'the command');
    client.kill('SIGKILL');
    await until(async () => !(await running()).some((line) => line.includes('sleep 4321')), 'its end');
  });

  test('a command that reads nothing and whose channel is closed is let go of, on a connection that stays', async () => {
    await using client = await world.client();
    const channel = await client.exec('sleep 5432');
    channel.write(Buffer.alloc(8_000_000));
    await until(async () => (await running()).some((line) => line.includes('sleep 5432')), 'the command');
    channel.close();
    await until(async () => !(await running()).some((line) => line.includes('sleep 5432')), 'its end');
    const other = gather(await client.exec('echo still here'));
    assert.equal(await other.exit, 0);
    assert.equal(other.text(), 'still here\n');
  });

  test('signals a client sends reach the command', async () => {
    await using client = await world.client();
    const channel = await client.exec('trap "echo usr1; exit 7" USR1; echo ready; while :; do sleep 0.05; done');
    const output = gather(channel);
    await until(() => output.text().includes('ready'), 'the command');
    channel.signal('USR1');
    assert.equal(await output.exit, 7);
    assert.equal(output.text(), 'ready\nusr1\n');
  });

  test('the server goes down with a word to those who are in', async () => {
    await using other = await SshWorld.open();
    const client = other.start(['-tt', 'echo ready; sleep 100']);
    const output: string[] = [];
    for (const stream of [client.stdout, client.stderr])
      stream.on('data', (chunk: Buffer) => output.push(chunk.toString()));
    await until(() => output.join('').includes('ready'), 'the command');
    const closed = once(client, 'close');
    await other.server.close();
    assert.deepEqual(await closed, [255, null]);
    assert.match(output.join(''), /sylph: the server goes down/);
  });
});
