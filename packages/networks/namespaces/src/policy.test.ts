import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { enterOwnNetwork } from '@sylph/testkit';
import { networkOf, TestSprite } from './testing/fixture.ts';
import { Guest, removeCable } from './testing/guest.ts';
import { Internet, internet, ports } from './testing/internet.ts';

enterOwnNetwork();

/** A sprite with a policy, on an internet where names lead to addresses. */
const network = networkOf({ slots: 2 });
let world: Internet;
let guest: Guest;
let sprite: TestSprite;

before(async () => {
  world = await Internet.open();
  world.names.set('web.example', { addresses: [internet.web4, internet.web6], ttlS: 60 });
  world.names.set('other.example', { addresses: [internet.other4], ttlS: 60 });
  world.names.set('rebinding.example', { addresses: ['10.50.0.1'], ttlS: 60 });
  await network.open();
  guest = await Guest.open('guest');
});

beforeEach(() => {
  sprite = new TestSprite();
});

afterEach(async () => {
  await guest.unplug();
  await network.detach(sprite.spriteId);
});

after(async () => {
  await guest[Symbol.asyncDispose]();
  await network.close({ vmsRemain: false });
  await world[Symbol.asyncDispose]();
  await removeCable();
});

/** Wakes the sprite with rules. */
async function wake(rules: TestSprite['rules']): Promise<void> {
  sprite.rules = rules;
  const attachment = await network.attach(sprite);
  if (attachment.kind === 'tap') await guest.plug(attachment.namespace);
}

/** Changes its rules while it is awake. */
async function change(rules: TestSprite['rules']): Promise<void> {
  sprite.rules = rules;
  await network.refresh(sprite.spriteId);
}

const allowed = { domain: 'web.example', action: 'allow' } as const;

test('an address is out of reach until an allowed name led to it, on both IP versions', async () => {
  await wake([allowed]);
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'ECONNREFUSED');
  assert.equal(await guest.party.tries(internet.web6, ports.web), 'ECONNREFUSED');
  assert.deepEqual(await guest.party.resolve('web.example'), [internet.web4]);
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'reached');
  assert.equal(await guest.party.tries(internet.web4, ports.other, 'udp'), 'reached');
  assert.equal(await guest.party.tries(internet.web6, ports.web), 'ECONNREFUSED', 'nobody asked for that address');
  assert.deepEqual(await guest.party.resolve('web.example', 'AAAA'), [internet.web6]);
  assert.equal(await guest.party.tries(internet.web6, ports.web), 'reached');
});

test('a denied name is refused and told, and so is one that leads into a private network', async () => {
  await wake([allowed, { domain: 'rebinding.example', action: 'allow' }]);
  await assert.rejects(guest.party.resolve('other.example'), /EREFUSED/);
  await assert.rejects(guest.party.resolve('rebinding.example'), /EREFUSED/);
  assert.equal(await guest.party.tries('10.50.0.1', ports.web), 'ECONNREFUSED');
  assert.equal(await guest.party.tries(internet.other4, ports.web), 'ECONNREFUSED');
  const denials = await network.takeDenials(sprite.spriteId);
  assert.deepEqual(
    denials.map(({ kind, target, reason }) => `${kind} ${target} ${reason}`).toSorted(),
    [
      'address 10.50.0.1 special-range',
      `address ${internet.other4} policy`,
      'name other.example policy',
      'name rebinding.example rebinding',
    ].toSorted(),
  );
});

test('an address is reached at the ports its name is allowed at, and the log names it', async () => {
  await wake([{ ...allowed, ports: [ports.web, ports.tls] }]);
  await guest.party.resolve('web.example');
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'reached');
  assert.equal(await guest.party.tries(internet.web4, ports.tls), 'reached');
  assert.equal(await guest.party.tries(internet.web4, ports.other), 'ECONNREFUSED');
  const [denial] = await network.takeDenials(sprite.spriteId);
  assert.deepEqual(
    [denial?.target, denial?.port, denial?.name, denial?.reason],
    [internet.web4, ports.other, 'web.example', 'other-port'],
  );
});

test('networks decide before names, the smallest first, with their ports', async () => {
  await wake([
    { domain: '*', action: 'allow' },
    { cidr: '93.1.1.0/24', action: 'allow', ports: [ports.web, ports.other] },
    { cidr: '93.1.1.2/32', action: 'deny' },
    { cidr: internet.web6, action: 'allow' },
  ]);
  await guest.party.resolve('other.example');
  assert.equal(await guest.party.tries(internet.other4, ports.web), 'ECONNREFUSED');
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'reached');
  assert.equal(await guest.party.tries(internet.web4, ports.other, 'udp'), 'reached');
  assert.equal(await guest.party.tries(internet.web4, ports.tls), 'ECONNREFUSED');
  assert.equal(await guest.party.tries(internet.web6, ports.tls), 'reached');
});

test('a private network that a policy allows stays out of reach', async () => {
  await wake([
    { cidr: '10.0.0.0/8', action: 'allow' },
    { cidr: '0.0.0.0/0', action: 'allow' },
  ]);
  assert.equal(await guest.party.tries('10.50.0.1', ports.web), 'ECONNREFUSED');
  assert.equal(await guest.party.tries('198.18.0.1', 7777), 'ECONNREFUSED');
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'reached');
});

test('a change is in force when it resolves: what it forbids is cut on both sides, the rest goes on', async () => {
  await wake([]);
  const cut = await guest.party.dial(internet.web4, ports.web);
  const kept = await guest.party.dial(internet.other4, ports.web);
  await change([{ cidr: internet.other4, action: 'allow' }]);
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'ECONNREFUSED');
  await assert.rejects(guest.party.say(cut.socket, 'still there?'), /ECONNRESET|EPIPE/);
  assert.equal(await guest.party.say(kept.socket, 'still there?'), 'still there?');
  await change([]);
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'reached');
  assert.equal(await guest.party.say(kept.socket, 'still there?'), 'still there?');
});

test('a server that goes on sending over a forbidden connection is told so too', async () => {
  await wake([]);
  const { greeting } = await guest.party.dial(internet.web4, ports.other);
  assert.match(greeting, /^hello/);
  await change([{ domain: 'nothing.example', action: 'allow' }]);
  assert.equal(await world.party.push(), 'ECONNRESET');
});

test('an answer that is judged by a policy that has changed meanwhile lets nothing through', async () => {
  await wake([allowed]);
  const changing = change([{ domain: 'other.example', action: 'allow' }]);
  await Promise.allSettled([guest.party.resolve('web.example'), changing]);
  assert.equal(await guest.party.tries(internet.web4, ports.web), 'ECONNREFUSED');
});

test('a policy that was changed while its sprite was on its way is the one in force', async () => {
  sprite.rules = [];
  const attaching = network.attach(sprite);
  sprite.rules = [allowed];
  await Promise.all([attaching, network.refresh(sprite.spriteId)]);
  const attachment = await network.attach(sprite);
  if (attachment.kind === 'tap') await guest.plug(attachment.namespace);
  assert.equal(await guest.party.tries(internet.other4, ports.web), 'ECONNREFUSED');
});

test('many names at once get through, and each address is let through before its answer comes', async () => {
  const names = Array.from({ length: 40 }, (_, index) => `n${index}.example`);
  for (const name of names) world.names.set(name, { addresses: [internet.web4, internet.other4], ttlS: 60 });
  await wake([{ domain: '*.example', action: 'allow' }]);
  const outcomes = await Promise.all(
    names.map(async (name) => {
      const [address = ''] = await guest.party.resolve(name);
      return guest.party.tries(address, ports.web);
    }),
  );
  assert.deepEqual(
    outcomes,
    names.map(() => 'reached'),
  );
});
