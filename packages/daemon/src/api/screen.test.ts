import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import headless from '@xterm/headless';
import type { FakeSession } from './testing/fake-session.ts';
import { ApiFixture, eventually, type Json, type TestSocket } from './testing/fixture.ts';

const exec = '/v1/sprites/one/exec';

async function open(): Promise<ApiFixture & { session: FakeSession }> {
  const api = await ApiFixture.open();
  await api.sprite();
  return Object.defineProperty(api, 'session', { get: () => api.service.sessions.get('1') }) as ApiFixture & {
    session: FakeSession;
  };
}

/** Lines that a terminal shows after `bytes`, the last empty ones left out. */
async function shown(bytes: Buffer, cols = 20, rows = 5): Promise<string[]> {
  const terminal = new headless.Terminal({ cols, rows, scrollback: 100, allowProposedApi: true });
  await new Promise<void>((resolve) => terminal.write(bytes, resolve));
  const { active } = terminal.buffer;
  const lines = Array.from({ length: active.length }, (_, y) => active.getLine(y)?.translateToString(true) ?? '');
  return lines.slice(0, lines.findLastIndex((line) => line !== '') + 1);
}

/** What a client gets that attaches now: the message in front, the picture, and what follows it. */
async function attached(api: ApiFixture, query = ''): Promise<{ socket: TestSocket; info: Json; bytes: () => Buffer }> {
  const socket = api.socket(`${exec}/1?${query}`);
  await socket.until((messages) => messages.length > 0);
  const info = socket.messages[0] as Json;
  return { socket, info, bytes: () => Buffer.concat(socket.messages.filter((each) => Buffer.isBuffer(each))) };
}

describe('the screen of a terminal', () => {
  it('is what a client that attaches sees, and live output goes on from there', async () => {
    await using api = await open();
    const owner = api.socket(`${exec}?cmd=top&tty=true&cols=20&rows=5`);
    await owner.until((messages) => messages.length > 0);
    const frames = Array.from({ length: 500 }, (_, index) => `\x1b[H\x1b[2Jframe ${index}\r\n\x1b[31mred\x1b[0m`);
    api.session.print(`before\r\n${frames.join('')}`);
    const late = await attached(api);
    assert.deepEqual([late.info.offset, late.info.tty], [api.session.endOffset, true]);
    await late.socket.until(() => late.bytes().length >= late.info.screen_bytes);
    assert.ok(late.info.screen_bytes < 200, `${late.info.screen_bytes} bytes`);
    assert.deepEqual(await shown(late.bytes()), ['frame 499', 'red']);
    api.session.print(' and more');
    await late.socket.until(() => late.bytes().length >= late.info.screen_bytes + 9);
    assert.deepEqual(await shown(Buffer.concat([Buffer.from('rubbish'), late.bytes()])), ['frame 499', 'red and more']);
    // Whoever knows where he was gets the bytes themselves.
    const exact = await attached(api, 'offset=0');
    assert.deepEqual([exact.info.offset, exact.info.screen_bytes], [0, undefined]);
    await exact.socket.until(() => exact.bytes().length === api.session.endOffset);
    api.session.exit(0);
    assert.equal((await late.socket.closed).code, 1000);
  });

  it('comes with what has scrolled away, the other screen and the modes that are set', async () => {
    await using api = await open();
    const owner = api.socket(`${exec}?cmd=vi&tty=true&cols=20&rows=5`);
    await owner.until((messages) => messages.length > 0);
    api.session.print('1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7');
    const shell = await attached(api);
    await shell.socket.until(() => shell.bytes().length >= shell.info.screen_bytes);
    assert.deepEqual(await shown(shell.bytes()), ['1', '2', '3', '4', '5', '6', '7']);
    api.session.print('\x1b[?1049h\x1b[H\x1b[2Jeditor\x1b[?2004h');
    const editor = await attached(api);
    await editor.socket.until(() => editor.bytes().length >= editor.info.screen_bytes);
    assert.deepEqual(await shown(editor.bytes()), ['editor']);
    assert.ok(editor.bytes().includes('\x1b[?1049h') && editor.bytes().includes('\x1b[?2004h'));
    assert.deepEqual(await shown(Buffer.concat([editor.bytes(), Buffer.from('\x1b[?1049l')])), [
      ...['1', '2', '3', '4', '5', '6', '7'],
    ]);
    api.session.exit(0);
    const after = await attached(api);
    await after.socket.closed;
    assert.ok(after.bytes().includes('editor'), 'also once it has ended');
  });

  it('is given up for output that asks for work without end, and the daemon answers meanwhile', async () => {
    await using api = await open();
    const owner = api.socket(`${exec}?cmd=sh&tty=true&cols=80&rows=24`);
    await owner.until((messages) => messages.length > 0);
    api.session.print('a\x1b[2147483647b');
    const late = attached(api);
    let done = false;
    void late.finally(() => (done = true));
    let answered = 0;
    for (; !done; answered++) assert.equal((await fetch(`${api.url}/healthz`)).status, 200);
    const { info, socket, bytes } = await late;
    assert.deepEqual([info.offset, info.screen_bytes], [0, undefined]);
    await socket.until(() => bytes().length === api.session.endOffset);
    assert.ok(answered > 10, `${answered} answers meanwhile`);
    api.session.size = { cols: 65_535, rows: 65_535 };
    assert.equal((await attached(api)).info.screen_bytes, undefined);
    api.session.exit(0);
  });

  it('is as large as the window of the client that typed last', async () => {
    await using api = await open();
    const one = api.socket(`${exec}?cmd=sh&tty=true&cols=80&rows=24`);
    await one.until((messages) => messages.length > 0);
    const two = await attached(api);
    one.send({ type: 'resize', cols: 80, rows: 24 });
    two.socket.send({ type: 'resize', cols: 120, rows: 50 });
    two.socket.send(Buffer.from('b'));
    await eventually(() => api.session.received.includes('b'));
    assert.deepEqual(api.session.size, { cols: 120, rows: 50 });
    one.send(Buffer.from('a'));
    one.send(Buffer.from('c'));
    await eventually(() => api.session.received.includes('c'));
    assert.deepEqual(api.session.received.slice(-3), ['<80x24>', 'a', 'c']);
    api.session.exit(0);
  });
});
