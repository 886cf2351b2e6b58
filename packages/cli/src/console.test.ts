import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { CliFixture } from './testing/run-cli.ts';
import { Pty } from './testing/pty.ts';

let fixture: CliFixture;

before(async () => {
  fixture = await CliFixture.make();
});
after(async () => {
  await fixture[Symbol.asyncDispose]();
});
beforeEach(() => {
  Object.assign(fixture.server.faults, { silent: false, keepsOffsets: true, refuseExec: undefined });
});

/** Sets everything a full-screen program sets, and says that it is ready. */
const mess = String.raw`printf '\033[?1049h\033[?1h\033=\033[?25l\033[?1000h\033[?1002h\033[?1003h\033[?1006h\033[?1004h\033[?2004h\033[?7l\033[4h\033[5;10r\033[>1u\033[>4;2m\033[5 q\033(0\033[1;31m\033]11;#222222\007\033]8;;http://x\033\\ready'; `;

/** State a terminal is in after these bytes, as far as programs change it: written apart from the code under test. */
function stateAfter(output: string): Record<string, unknown> {
  const modes: Record<string, boolean> = {};
  for (const [, numbers = '', letter] of output.matchAll(/\x1b\[\?([\d;]+)([hl])/g))
    for (const mode of numbers.split(';')) modes[mode] = letter === 'h';
  const last = (pattern: RegExp): string | undefined => [...output.matchAll(pattern)].at(-1)?.[1];
  const count = (pattern: RegExp): number => [...output.matchAll(pattern)].length;
  return {
    on: Object.keys(modes).filter((mode) => modes[mode] && mode !== '25' && mode !== '7'),
    cursor: modes['25'] ?? true,
    wrap: modes['7'] ?? true,
    insert: last(/\x1b\[4([hl])/g) ?? 'l',
    keypad: last(/\x1b([=>])/g) ?? '>',
    // 22 and 39 end the styles of our own messages.
    style: (last(/\x1b\[([\d;]*)m/g) ?? '0').replace(/^(22|39)$/, '0'),
    region: last(/\x1b\[([\d;]*)r/g) ?? '',
    shape: last(/\x1b\[(\d) q/g) ?? '0',
    charset: last(/\x1b\(([0B])/g) ?? 'B',
    keyboards: count(/\x1b\[>\d+u/g) - count(/\x1b\[<1?u/g),
    otherKeys: last(/\x1b\[>(4(?:;2)?)m/g) ?? '4',
    background: output.lastIndexOf('\x1b]111\x1b\\') >= output.lastIndexOf('\x1b]11;'),
    link: output.lastIndexOf('\x1b]8;;\x1b\\') >= output.lastIndexOf('\x1b]8;;h'),
  };
}

const clean = {
  on: [],
  cursor: true,
  wrap: true,
  insert: 'l',
  keypad: '>',
  style: '0',
  region: '',
  shape: '0',
  charset: 'B',
  keyboards: 0,
  otherKeys: '4',
  background: true,
  link: true,
};

const open = (...command: string[]): Pty => new Pty(fixture.argv('console', '-s', 'one', ...command), fixture.env);

/** A console that sends back what is typed. */
async function openEcho(): Promise<Pty> {
  const pty = open('cat');
  await pty.raw();
  return pty;
}

describe('the terminal is put back', () => {
  const ways: { name: string; then: string; how: (pty: Pty) => void | Promise<void>; code: number; says?: RegExp }[] = [
    { name: 'after the program ended', then: 'sleep 0.2; exit 7', how: () => undefined, code: 7 },
    {
      name: 'after detaching',
      then: 'sleep 60',
      how: (pty) => pty.send('\x1c'),
      code: 0,
      says: /detached; session \d+ of one goes on/,
    },
    {
      name: 'after detaching with a key of the kitty protocol',
      then: 'sleep 60',
      how: (pty) => pty.send('\x1b[92;5u'),
      code: 0,
      says: /detached/,
    },
    { name: 'by SIGTERM', then: 'sleep 60', how: (pty) => pty.signal('SIGTERM'), code: -15 },
    { name: 'by SIGHUP', then: 'sleep 60', how: (pty) => pty.signal('SIGHUP'), code: -1 },
    { name: 'by SIGINT from outside', then: 'sleep 60', how: (pty) => pty.signal('SIGINT'), code: -2 },
    {
      name: 'when the connection is lost for good',
      then: 'sleep 60',
      how: () => {
        fixture.server.faults.keepsOffsets = false;
        fixture.server.drop();
      },
      code: 1,
      says: /lost the connection to session \d+ of one: the connection broke/,
    },
  ];
  for (const { name, then, how, code, says } of ways) {
    test(name, async () => {
      if (name.includes('for good')) fixture.server.faults.keepsOffsets = false;
      await using pty = open('sh', '-c', mess + then);
      await pty.expect('ready');
      assert.equal((await pty.termios()).raw, true);
      await how(pty);
      const end = await pty.ended;
      assert.deepEqual(
        { ...stateAfter(pty.output), code: end.code, termios: end.same },
        { ...clean, code, termios: true },
      );
      if (says !== undefined) assert.match(pty.output, says);
    });
  }

  test('when it is killed', async () => {
    // Under a shell without job control, which leaves the terminal as its children do.
    await using pty = new Pty(
      [
        '/bin/sh',
        '-c',
        'exec 3<&0; "$@" <&3 & echo "pid $!."; wait $!; sleep 1; echo over',
        'sh',
        ...fixture.argv('console', '-s', 'one', 'sh', '-c', `${mess}sleep 60`),
      ],
      fixture.env,
    );
    await pty.expect('ready');
    await pty.raw();
    process.kill(Number(/pid (\d+)\./.exec(pty.output)?.[1]), 'SIGKILL');
    await pty.expect('over');
    assert.deepEqual(
      { ...stateAfter(pty.output), code: (await pty.ended).code, termios: (await pty.ended).same },
      { ...clean, code: 0, termios: true },
    );
  });

  test('and nothing is sent that the program did not touch', async () => {
    await using pty = open('sh', '-c', String.raw`printf 'plain \033[?2004h\033[?2004l text\n'`);
    assert.deepEqual(await pty.ended, { type: 'ended', code: 0, same: true });
    assert.equal(pty.output.replaceAll('\r\n', '\n'), 'plain \x1b[?2004h\x1b[?2004l text\n');
  });

  test('after a stop from outside, and taken again when it goes on', async () => {
    await using pty = open('sh', '-c', `${mess}cat`);
    await pty.expect('ready');
    pty.signal('SIGTSTP');
    assert.equal((await pty.stopped()).same, true);
    assert.deepEqual(stateAfter(pty.output), clean);
    const from = pty.output.length;
    pty.signal('SIGCONT');
    await pty.expect('\x1b[?1049h', from);
    await pty.expect('\x1b[?1006h', from);
    pty.send('again\r');
    await pty.expect('again', from);
    pty.send('\x1c');
    assert.equal((await pty.ended).same, true);
    assert.deepEqual(stateAfter(pty.output), clean);
  });
});

describe('a console', () => {
  test('passes every byte in both directions', async () => {
    await using pty = await openEcho();
    const every = Array.from({ length: 256 }, (_, index) => String.fromCharCode(index))
      .join('')
      .replace('\x1c', '');
    pty.send('start');
    await pty.expect('start');
    pty.send(every);
    await pty.expect(every);
    pty.send('\x1c');
    assert.equal((await pty.ended).code, 0);
  });

  test('tells sizes, first and later', async () => {
    await using pty = await openEcho();
    pty.send('x');
    await pty.expect('x');
    const session = [...fixture.server.sessions.values()].at(-1);
    assert.deepEqual(session?.resizes, [{ cols: 80, rows: 24 }]);
    pty.resize(133, 44);
    pty.send('y');
    await pty.expect('xy');
    while (session?.resizes.length === 1) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(session?.resizes.at(-1), { cols: 133, rows: 44 });
    pty.send('\x1c');
    await pty.ended;
  });

  test('goes on after a dropped connection, and can be come back to after detaching', async () => {
    await using pty = await openEcho();
    pty.send('before ');
    await pty.expect('before ');
    fixture.server.drop();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    pty.send('after');
    await pty.expect('before after');
    pty.send('\x1c');
    assert.equal((await pty.ended).code, 0);
    const id = /session (\d+) of/.exec(pty.output)?.[1] ?? '';
    await using again = new Pty(fixture.argv('sessions', 'attach', id, '-s', 'one'), fixture.env);
    await again.expect('before after');
    again.send('\x1c');
    assert.deepEqual(await again.ended, { type: 'ended', code: 0, same: true });
  });

  test('Ctrl+C leaves while the connection is broken', async () => {
    await using pty = await openEcho();
    pty.send('x');
    await pty.expect('x');
    fixture.server.faults.refuseExec = 503;
    fixture.server.drop();
    await pty.expect(/trying to take it up again/);
    pty.send('\x03');
    assert.deepEqual(await pty.ended, { type: 'ended', code: 0, same: true });
  });

  test('a pasted detach key does not detach', async () => {
    await using pty = await openEcho();
    pty.send('\x1b[200~a\x1cb\x1b[201~');
    await pty.expect('a\x1cb');
    pty.send('\x1c');
    assert.equal((await pty.ended).code, 0);
  });

  test('Ctrl+C while the sprite wakes ends at once, as SIGINT does', async () => {
    fixture.server.faults.silent = true;
    await using pty = open('cat');
    await pty.expect(/waiting for one to wake.* \d s/);
    pty.send('\x03');
    assert.deepEqual(await pty.ended, { type: 'ended', code: -2, same: true });
    fixture.server.drop();
  });
});
