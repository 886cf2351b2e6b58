import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DomainRow, LinkRow, Repository, SpriteRow, SshKeyRow } from '@sylph/engine';
import { SylphError, type NetworkDenial, type NetworkPolicy } from '@sylph/model';
import { insertSprite, plainSprite } from './repository-suite.ts';

const at = (seconds: number): string => new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();

const policy: NetworkPolicy = {
  rules: [
    { include: 'defaults' },
    { domain: '*.example.com', action: 'allow', ports: [443] },
    { cidr: '2606:4700::/32', action: 'deny' },
  ],
};
const other: NetworkPolicy = { rules: [] };

const denial = (target: string, seconds: number, more: Partial<NetworkDenial> = {}): NetworkDenial => ({
  kind: 'name',
  target,
  port: null,
  protocol: null,
  name: null,
  reason: 'policy',
  count: 1,
  first_at: at(seconds),
  last_at: at(seconds),
  ...more,
});

const rejectsWith = (work: Promise<unknown>, code: string): Promise<void> =>
  assert.rejects(work, (error) => error instanceof SylphError && error.code === code);

/** What every implementation of `Repository` has to do with policies, links, domains and SSH keys. As `repositorySuite`. */
export function networkSuite(name: string, open: () => Promise<Repository>): void {
  /** A repository with sprites `one` and `two` of an organization. */
  async function withSprites(): Promise<AsyncDisposable & { repository: Repository; one: SpriteRow; two: SpriteRow }> {
    const repository = await open();
    const org = await repository.ensureOrg('acme');
    return {
      repository,
      one: await insertSprite(repository, plainSprite(org, 'one'), 1_000),
      two: await insertSprite(repository, plainSprite(org, 'two'), 1_000),
      [Symbol.asyncDispose]: () => repository[Symbol.asyncDispose](),
    };
  }

  describe(`policies: ${name}`, () => {
    it('keeps each kind of a sprite by itself', async () => {
      await using all = await withSprites();
      const { policies } = all.repository;
      assert.deepEqual(definedOf(await policies.policies(all.one.id)), {});
      await policies.setPolicies(all.one.id, { network: policy });
      await policies.setPolicies(all.one.id, {
        privileges: { profile: 'minimal' },
        resources: { memory: { limit_mb: 5 } },
      });
      await policies.setPolicies(all.one.id, {});
      const kept = { network: policy, privileges: { profile: 'minimal' }, resources: { memory: { limit_mb: 5 } } };
      assert.deepEqual(definedOf(await policies.policies(all.one.id)), kept);
      assert.deepEqual(definedOf(await policies.policies(all.two.id)), {});
      await policies.setPolicies(all.one.id, { network: null, privileges: { devices: ['x'] } });
      const { resources } = kept;
      assert.deepEqual(definedOf(await policies.policies(all.one.id)), { privileges: { devices: ['x'] }, resources });
      await policies.setPolicies(all.two.id, { network: null });
      assert.deepEqual(definedOf(await policies.policies(all.two.id)), {});
      await policies.setPolicies(all.two.id, { network: other });
      assert.deepEqual((await policies.policies(all.two.id)).network, other, 'no rules are a policy too');
    });

    it('keeps one for an organization', async () => {
      await using repository = await open();
      const [acme, foreign] = [await repository.ensureOrg('acme'), await repository.ensureOrg('other')];
      const { policies } = repository;
      assert.equal(await policies.orgNetworkPolicy(acme.id), undefined);
      await policies.setOrgNetworkPolicy(acme.id, policy);
      assert.deepEqual(await policies.orgNetworkPolicy(acme.id), policy);
      await policies.setOrgNetworkPolicy(acme.id, other);
      assert.deepEqual(await policies.orgNetworkPolicy(acme.id), other);
      assert.equal(await policies.orgNetworkPolicy(foreign.id), undefined);
      await policies.setOrgNetworkPolicy(acme.id, null);
      await policies.setOrgNetworkPolicy(acme.id, null);
      assert.equal(await policies.orgNetworkPolicy(acme.id), undefined);
    });

    it('gives a fork the policies of its parent, and not what was denied to it', async () => {
      await using all = await withSprites();
      const { repository, one } = all;
      await repository.policies.setPolicies(one.id, { network: policy, resources: { memory: { autoscale: true } } });
      await repository.policies.addDenials(one.id, [denial('a.example', 1)], 10);
      const org = await repository.ensureOrg('acme');
      const fork = await insertSprite(repository, { ...plainSprite(org, 'fork'), parentSpriteId: one.id }, 1_000);
      const taken = { network: policy, resources: { memory: { autoscale: true } } };
      assert.deepEqual(definedOf(await repository.policies.policies(fork.id)), taken);
      assert.deepEqual(await repository.policies.denials(fork.id, 10), []);
      await repository.policies.setPolicies(one.id, { network: null });
      assert.deepEqual(definedOf(await repository.policies.policies(fork.id)), taken);
      const plain = await insertSprite(repository, { ...plainSprite(org, 'plain'), parentSpriteId: all.two.id }, 1_000);
      assert.deepEqual(definedOf(await repository.policies.policies(plain.id)), {});
    });

    it('counts denials by target, the last first, and keeps the newest', async () => {
      await using all = await withSprites();
      const { policies } = all.repository;
      const address = denial('198.41.0.4', 2, {
        kind: 'address',
        port: 25,
        protocol: 'tcp',
        name: 'mail.example',
        count: 3,
      });
      await policies.addDenials(all.one.id, [denial('a.example', 1), address], 10);
      await policies.addDenials(
        all.one.id,
        [
          { ...denial('a.example', 3), count: 4 },
          { ...address, port: 26, last_at: at(4) },
        ],
        10,
      );
      await policies.addDenials(all.two.id, [denial('b.example', 9)], 10);
      assert.deepEqual(await policies.denials(all.one.id, 10), [
        { ...address, port: 26, last_at: at(4) },
        { ...denial('a.example', 1), count: 5, last_at: at(3) },
        address,
      ]);
      assert.equal((await policies.denials(all.one.id, 1)).length, 1);
      await policies.addDenials(all.one.id, [denial('rate', 5, { reason: 'rate' })], 2);
      assert.deepEqual(
        (await policies.denials(all.one.id, 10)).map(({ target }) => target),
        ['rate', '198.41.0.4'],
      );
      const many = Array.from({ length: 30 }, (_, index) => denial(`n${index}.example`, 6));
      await policies.addDenials(all.one.id, many, 20);
      assert.equal((await policies.denials(all.one.id, 100)).length, 20, 'as many stay, whatever their times');
      assert.equal((await policies.denials(all.two.id, 100)).length, 1);
    });

    it('loses all of it with its sprite', async () => {
      await using all = await withSprites();
      const { repository, one } = all;
      await repository.policies.setPolicies(one.id, { network: policy });
      await repository.policies.addDenials(one.id, [denial('a.example', 1)], 10);
      await repository.edge.insertLink(link(one, 'l'));
      await repository.edge.insertDomain(domain(one, 'app.example.com'));
      await repository.removeSprite(one.id);
      assert.deepEqual(definedOf(await repository.policies.policies(one.id)), {});
      assert.deepEqual(await repository.policies.denials(one.id, 10), []);
      assert.equal(await repository.edge.link('l'), undefined);
      assert.equal(await repository.edge.domain('app.example.com'), undefined);
    });
  });

  describe(`edge: ${name}`, () => {
    it('keeps links, newest first, removes those of their sprite and drops expired ones', async () => {
      await using all = await withSprites();
      const { edge } = all.repository;
      const first = link(all.one, 'a');
      const second = { ...link(all.one, 'b'), createdAt: at(5), port: 3_000, passwordHash: 'x', expiresAt: at(10) };
      await edge.insertLink(first);
      await edge.insertLink(second);
      await edge.insertLink(link(all.two, 'c'));
      assert.deepEqual(await edge.link('b'), second);
      assert.equal(await edge.link('none'), undefined);
      assert.deepEqual(await edge.links(all.one.id), [second, first]);
      assert.equal(await edge.removeLink(all.two.id, 'a'), false);
      assert.equal(await edge.removeLink(all.one.id, 'a'), true);
      assert.equal(await edge.removeLink(all.one.id, 'a'), false);
      await edge.pruneLinks(at(10));
      assert.deepEqual(await edge.links(all.one.id), [second]);
      await edge.pruneLinks(at(11));
      assert.deepEqual(await edge.links(all.one.id), []);
      assert.deepEqual(await edge.links(all.two.id), [link(all.two, 'c')], 'what has no end stays');
    });

    it('lets a domain lead to one sprite', async () => {
      await using all = await withSprites();
      const { edge } = all.repository;
      await edge.insertDomain(domain(all.one, 'b.example.com'));
      await edge.insertDomain(domain(all.one, 'a.example.com'));
      await rejectsWith(edge.insertDomain(domain(all.two, 'a.example.com')), 'domain_taken');
      await rejectsWith(edge.insertDomain(domain(all.one, 'a.example.com')), 'domain_taken');
      assert.deepEqual(await edge.domain('a.example.com'), domain(all.one, 'a.example.com'));
      assert.equal(await edge.domain('c.example.com'), undefined);
      assert.deepEqual(
        (await edge.domains(all.one.id)).map(({ domain }) => domain),
        ['a.example.com', 'b.example.com'],
      );
      assert.equal(await edge.removeDomain(all.two.id, 'a.example.com'), false);
      assert.equal(await edge.removeDomain(all.one.id, 'a.example.com'), true);
      assert.equal(await edge.removeDomain(all.one.id, 'a.example.com'), false);
      await edge.insertDomain(domain(all.two, 'a.example.com'));
      assert.deepEqual(await edge.domains(all.two.id), [domain(all.two, 'a.example.com')]);
    });
  });

  describe(`ssh keys: ${name}`, () => {
    it('keeps a key once in an organization, and knows whose it is', async () => {
      await using repository = await open();
      const { sshKeys } = repository;
      const [acme, foreign] = [await repository.ensureOrg('acme'), await repository.ensureOrg('other')];
      const row: SshKeyRow = {
        id: 'k1',
        orgId: acme.id,
        name: 'work',
        type: 'ssh-ed25519',
        publicKey: 'AAAA',
        fingerprint: 'SHA256:x',
        createdAt: at(0),
        lastUsedAt: null,
      };
      await sshKeys.insertSshKey(row);
      await rejectsWith(sshKeys.insertSshKey({ ...row, id: 'k2' }), 'ssh_key_taken');
      await sshKeys.insertSshKey({ ...row, id: 'k3', orgId: foreign.id, createdAt: at(1) });
      await sshKeys.insertSshKey({ ...row, id: 'k4', name: 'home', fingerprint: 'SHA256:y' });
      assert.deepEqual(
        (await sshKeys.sshKeys(acme.id)).map(({ id }) => id),
        ['k4', 'k1'],
      );
      assert.deepEqual(
        (await sshKeys.sshKeysByFingerprint('SHA256:x')).map(({ id }) => id),
        ['k1', 'k3'],
      );
      assert.deepEqual(await sshKeys.sshKeysByFingerprint('SHA256:z'), []);
      await sshKeys.touchSshKey('k1', at(9));
      assert.deepEqual((await sshKeys.sshKeysByFingerprint('SHA256:x'))[0], { ...row, lastUsedAt: at(9) });
      assert.equal(await sshKeys.removeSshKey(foreign.id, 'k1'), false);
      assert.equal(await sshKeys.removeSshKey(acme.id, 'k1'), true);
      assert.equal(await sshKeys.removeSshKey(acme.id, 'k1'), false);
      assert.deepEqual(
        (await sshKeys.sshKeysByFingerprint('SHA256:x')).map(({ id }) => id),
        ['k3'],
      );
    });
  });
}

const link = ({ id: spriteId }: SpriteRow, id: string): LinkRow => ({
  id,
  spriteId,
  secretHash: 'ab'.repeat(32),
  port: null,
  passwordHash: null,
  description: 'x',
  createdAt: at(0),
  expiresAt: null,
});

const domain = ({ id: spriteId }: SpriteRow, name: string): DomainRow => ({
  domain: name,
  spriteId,
  createdAt: at(0),
});

function definedOf(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined));
}
