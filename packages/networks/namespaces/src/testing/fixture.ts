import { randomUUID } from 'node:crypto';
import type { NetworkGuest } from '@sylph/engine';
import type { NetworkPolicy, SpriteId } from '@sylph/model';
import { readDefaults } from '@sylph/network-dns';
import { NamespaceNetwork, type NamespaceNetworkOptions } from '../network.ts';
import { nameServer } from './internet.ts';

/** A network as a daemon has it, on the test's internet. */
export function networkOf(options: Partial<NamespaceNetworkOptions> = {}): NamespaceNetwork {
  return new NamespaceNetwork({
    dataDir: '/var/lib/sylph test',
    range: '198.18.0.0/15',
    slots: 1,
    lingerS: 60,
    allow: [],
    upstreams: [`${nameServer.address}:${nameServer.port}`],
    defaults: readDefaults(),
    onNotice: () => {},
    ...options,
  });
}

/** A sprite for {@link NamespaceNetwork.attach}, with a policy that can be changed. */
export class TestSprite implements NetworkGuest {
  readonly spriteId = randomUUID() as SpriteId;
  readonly uid = 200_001;
  rules: NetworkPolicy['rules'] = [];
  /** How often it was asked for its policy. */
  asked = 0;

  constructor(rules: NetworkPolicy['rules'] = []) {
    this.rules = rules;
  }

  policy = (): Promise<NetworkPolicy> => {
    this.asked += 1;
    return Promise.resolve({ rules: this.rules });
  };
}
