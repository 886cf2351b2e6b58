import assert from 'node:assert/strict';
import type http2 from 'node:http2';
import { describe, it } from 'node:test';
import { SylphError } from '@sylph/model';
import { ControlAndDataChannels } from '../factory.ts';
import { FakeGuest } from '../testing/fake-guest.ts';

const entry = {
  name: 'a',
  path: '/x/a',
  type: 'file',
  size: 1,
  mode: '0644',
  modTime: '2026-01-01T00:00:00Z',
  isDir: false,
};

const headers = { ':status': 200, 'x-archive-entries': '1', 'x-archive-bytes': '0' };

/** Ways in which an answer can break off behind its first bytes. */
const cuts: Record<string, (stream: http2.ServerHttp2Stream) => void> = {
  'an end without its mark': (stream) => void stream.end(),
  'a reset that cancels': (stream) => stream.close(8),
  'a reset that says nothing is wrong': (stream) => stream.close(0),
  'a session that is destroyed': (stream) => stream.session?.destroy(),
  'a connection that is gone': (stream) => void stream.session?.socket.destroy(),
};

describe('an answer about files that is cut', () => {
  for (const [name, cut] of Object.entries(cuts)) {
    it(`is never taken for a whole one: ${name}`, async () => {
      for (const [what, begin] of [
        ['archive', Buffer.alloc(512)],
        ['list', Buffer.from(`${JSON.stringify(entry)}\n`)],
      ] as const) {
        await using guest = await FakeGuest.start({
          stream: (stream) => {
            stream.on('error', () => {}); // it is cut on purpose
            stream.respond(headers);
            stream.write(begin, () => setTimeout(() => cut(stream), 20));
          },
        });
        const { signal } = new AbortController();
        await using channel = await new ControlAndDataChannels().connect(guest.sockets, { deadlineMs: 5000, signal });
        await channel.open({ deadlineMs: 5000 });
        const target = { path: '/x', user: 'sprite' };
        const read = async (): Promise<unknown> =>
          what === 'archive'
            ? Array.fromAsync((await channel.files.archive(target, { signal })).bytes)
            : Array.fromAsync(await channel.files.list(target, { signal, recursive: true, pattern: undefined }));
        await assert.rejects(
          read,
          (error) => error instanceof SylphError && error.code === 'agent_failed' && /broke|closed/.test(error.message),
          what,
        );
      }
    });
  }

  it('is whole with its mark', async () => {
    await using guest = await FakeGuest.start({
      stream: (stream) => {
        stream.respond(headers, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': '1' }));
        stream.end(Buffer.alloc(512));
      },
    });
    const { signal } = new AbortController();
    await using channel = await new ControlAndDataChannels().connect(guest.sockets, { deadlineMs: 5000, signal });
    await channel.open({ deadlineMs: 5000 });
    const { bytes } = await channel.files.archive({ path: '/x', user: 'sprite' }, { signal });
    assert.equal(Buffer.concat(await Array.fromAsync(bytes)).length, 512);
  });
});
