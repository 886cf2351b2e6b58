import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SylphError } from '@sylph/model';
import { follow } from './follow.ts';
import { SessionInput } from './input.ts';
import { Journal } from './journal/journal.ts';
import type { PumpTarget } from './pump.ts';
import { request } from './testing/fixture.ts';
import { ScriptedGuest, ScriptedProcess, ScriptedStream } from './testing/scripted-guest.ts';

function target(): PumpTarget {
  return {
    journal: Journal.create('/nowhere'),
    input: new SessionInput({ origin: 0 }),
    onStarted: () => {},
    onOutput: () => {},
    onDetached: () => {},
  };
}

function guestWith(id: string): ScriptedGuest {
  const guest = new ScriptedGuest();
  guest.processes.set(id, new ScriptedProcess({ ...request(), id }));
  return guest;
}

test('a stream that can never be opened ends the session as lost', async () => {
  const guest = guestWith('1');
  // The guest claims to have been told more than it was: nothing can be read from it any more.
  guest.process('1').acked = 1000;
  const end = await follow(
    { channel: guest.connect(), signal: new AbortController().signal },
    '1',
    undefined,
    target(),
    [1, 1, 1],
  );
  assert.equal(end?.how, 'lost');
});

test('a process the guest does not know is lost at once', async () => {
  const end = await follow(
    { channel: new ScriptedGuest().connect(), signal: new AbortController().signal },
    '1',
    undefined,
    target(),
  );
  assert.equal(end?.how === 'lost' && end.reason, 'the guest does not know the process any more');
});

test('a connection that is over ends the following without an end', async () => {
  const controller = new AbortController();
  const following = follow({ channel: guestWith('1').connect(), signal: controller.signal }, '1', undefined, target());
  controller.abort();
  assert.equal(await following, undefined);
});

test('a start the guest refuses is not taken for another process of that number', async () => {
  const guest = guestWith('1');
  guest.process('1').print('of somebody else').end(0);
  const refused = new ScriptedStream(
    undefined,
    0,
    new SylphError('illegal_state', 'process 1 exists', { context: { guestStatus: 409 } }),
  );
  const end = await follow({ channel: guest.connect(), signal: new AbortController().signal }, '1', refused, target());
  assert.equal(end?.how === 'lost' && end.reason, 'the guest refused to start it: process 1 exists');
});
