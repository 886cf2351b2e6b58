import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { compilePolicy, SpecialRanges } from '@sylph/network-dns';
import { enterOwnNetwork } from '@sylph/testkit';
import { Attachment } from './attachment.ts';
import { closeHost, openHost, type Host } from './host.ts';
import type { Slot } from './plan.ts';
import { Slots } from './slots.ts';
import { TestSprite } from './testing/fixture.ts';
import { Guest, removeCable } from './testing/guest.ts';
import { Internet, internet, ports } from './testing/internet.ts';
import { namespaceFile, nftJson } from './tools.ts';

enterOwnNetwork();

/** Answers are given here without a forwarder, so that they can be short. */
let world: Internet;
let host: Host;
let slots: Slots;
let slot: Slot;
let guest: Guest;
const sprite = new TestSprite();
const deps = {
  digest: (policy: unknown) => JSON.stringify(policy).replaceAll(/[^a-z0-9]/g, '-'),
  rules: { exempt: { ipv4: [], ipv6: [] }, ipv6: true },
  compile: (policy: Parameters<typeof compilePolicy>[0]) => compilePolicy(policy, []),
  special: new SpecialRanges([]),
};

before(async () => {
  world = await Internet.open();
  host = await openHost({ range: '198.18.0.0/15', dataDir: '/a', exempt: { ipv4: [], ipv6: [] } });
  slots = new Slots(host.instance, host.rules);
  slot = await slots.make();
  guest = await Guest.open('guest');
  await guest.plug(namespaceFile(slot.name));
});

after(async () => {
  await guest[Symbol.asyncDispose]();
  await slots.remove(slot);
  await closeHost(host);
  await world[Symbol.asyncDispose]();
  await removeCable();
});

/** A second's answer of a name. */
function answer(name: string, address: string): { name: string; address: string; ttlS: number } {
  return { name, address, ttlS: 1 };
}

async function change(attachment: Attachment, rules: TestSprite['rules']): Promise<void> {
  sprite.rules = rules;
  await attachment.enforce();
}

/** Waits until an address has run out. */
async function runOut(address: string): Promise<void> {
  const end = performance.now() + 15_000;
  while ((await guest.party.tries(address, ports.web)) === 'reached') {
    assert.ok(performance.now() < end, 'it never ran out');
    await sleep(200);
  }
}

test('a connection outlives its answer, also through changes that allow its name, and no other', async () => {
  const attachment = new Attachment(sprite, slot, deps);
  await change(attachment, [{ domain: 'web.example', action: 'allow' }]);
  await attachment.admit([answer('web.example', internet.web4)], attachment.policy);
  const { socket } = await guest.party.dial(internet.web4, ports.web);
  await runOut(internet.web4);
  assert.equal(await guest.party.say(socket, 'on'), 'on');
  await change(attachment, [{ domain: '*.example', action: 'allow' }]);
  assert.equal(await guest.party.say(socket, 'and on'), 'and on');
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'ECONNREFUSED', 'a new one needs a new answer');
  await change(attachment, [{ domain: 'other.example', action: 'allow' }]);
  await assert.rejects(guest.party.say(socket, 'and on?'), /ECONNRESET|EPIPE/);
});

test('an address stays as long as the longest of its names says, and one that is known is not let through again', async () => {
  const attachment = await Attachment.inherit(sprite, slot, deps, undefined);
  await change(attachment, [{ domain: '*.example', action: 'allow' }]);
  await attachment.admit([{ name: 'long.example', address: internet.web4, ttlS: 600 }], attachment.policy);
  await attachment.admit([answer('short.example', internet.web4)], attachment.policy);
  await sleep(1_500);
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'reached');
  const before = performance.now();
  await attachment.admit([{ name: 'long.example', address: internet.web4, ttlS: 500 }], attachment.policy);
  assert.ok(performance.now() - before < 3, 'no program was run');
});

test('more addresses than there is room for push out the oldest', async () => {
  const attachment = await Attachment.inherit(sprite, slot, deps, undefined);
  await change(attachment, [{ domain: '*.example', action: 'allow' }]);
  await attachment.admit([{ name: 'first.example', address: internet.web4, ttlS: 600 }], attachment.policy);
  for (let block = 0; block < 5; block++) {
    const answers = Array.from({ length: 1000 }, (_, index) => ({
      ...{ name: 'many.example', ttlS: 600, address: `77.${block}.${index >> 8}.${index & 255}` },
    }));
    await attachment.admit(answers, attachment.policy);
  }
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'ECONNREFUSED');
  const listed = JSON.stringify(await nftJson(['list', 'set', 'inet', 'sylph', 'allowed4'], slot.name));
  assert.equal(listed.match(/"77\./g)?.length, 4096);
});

test('an address that did not get into the slot is let through with the next answer', async () => {
  const there = { ...slot };
  const attachment = await Attachment.inherit(sprite, there, deps, undefined);
  await change(attachment, [{ domain: 'web.example', action: 'allow' }]);
  const web = { name: 'web.example', address: internet.web4, ttlS: 600 };
  there.name = 'sylph9-9';
  await assert.rejects(attachment.admit([web], attachment.policy), { code: 'internal' });
  there.name = slot.name;
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'ECONNREFUSED');
  await attachment.admit([web], attachment.policy);
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'reached');
});

test('rules that nft refuses change nothing, are told, and the next change is in force', async () => {
  const attachment = await Attachment.inherit(sprite, slot, deps, undefined);
  await change(attachment, [{ cidr: internet.web4, action: 'allow' }]);
  await assert.rejects(new Attachment(sprite, { ...slot, name: 'sylph9-9' }, deps).enforce(), {
    code: 'internal',
    message: /sylph9-9/,
  });
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'reached');
  await change(attachment, [{ cidr: internet.other4, action: 'allow' }]);
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'ECONNREFUSED');
});
