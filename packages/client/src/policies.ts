import type {
  NetworkDenial,
  NetworkPolicy,
  NetworkPolicyAnswer,
  PrivilegesPolicy,
  ResourcesPolicy,
} from '@sylph/model';
import { segment, type Http } from './http.ts';
import { isObject } from './json.ts';
import { unexpected, type CallOptions } from './sprites.ts';

const orgPath = '/v1/policy/network';

/** What sprites may reach, and what else is kept about them. None of it wakes a sprite. */
export class Policies {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** What holds for a sprite, and whose it is. */
  async network(sprite: string, options: CallOptions = {}): Promise<NetworkPolicyAnswer> {
    return asPolicy(await this.#http.json(at(sprite, 'network'), options)) as NetworkPolicyAnswer;
  }

  /** In force when it resolves. No rules: the internet, whatever the organization says. Throws `policy_unenforceable` where the host cannot enforce rules. */
  async setNetwork(sprite: string, policy: NetworkPolicy, options: CallOptions = {}): Promise<void> {
    await this.#http.text(at(sprite, 'network'), { method: 'POST', body: policy, ...options });
  }

  /** The organization's holds again. */
  async resetNetwork(sprite: string, options: CallOptions = {}): Promise<void> {
    await this.#http.text(at(sprite, 'network'), { method: 'DELETE', ...options });
  }

  /** What was denied to it, the last first; at most `limit`, default 100. */
  async networkLog(
    sprite: string,
    { limit, ...options }: { limit?: number | undefined } & CallOptions = {},
  ): Promise<NetworkDenial[]> {
    const query = { limit: limit?.toString() };
    const answer = await this.#http.json(`${at(sprite, 'network')}/log`, { query, ...options });
    if (!isObject(answer) || !Array.isArray(answer['denials'])) throw unexpected('a list of what was denied');
    return answer['denials'] as NetworkDenial[];
  }

  /** What holds for sprites of the organization without a policy of their own. */
  async orgNetwork(options: CallOptions = {}): Promise<NetworkPolicy> {
    return asPolicy(await this.#http.json(orgPath, options));
  }

  /** In force for all of them when it resolves. */
  async setOrgNetwork(policy: NetworkPolicy, options: CallOptions = {}): Promise<void> {
    await this.#http.text(orgPath, { method: 'PUT', body: policy, ...options });
  }

  async resetOrgNetwork(options: CallOptions = {}): Promise<void> {
    await this.#http.text(orgPath, { method: 'DELETE', ...options });
  }

  /** The names that `{"include":"defaults"}` allows. */
  async defaults(options: CallOptions = {}): Promise<string[]> {
    const answer = await this.#http.json(`${orgPath}/defaults`, options);
    if (!isObject(answer) || !Array.isArray(answer['domains'])) throw unexpected('a list of domains');
    return answer['domains'] as string[];
  }

  /** Kept, without effect; `effects` says so. */
  privileges(sprite: string, options: CallOptions = {}): Promise<PrivilegesPolicy & Effects> {
    return this.#kept(sprite, 'privileges', options);
  }

  setPrivileges(sprite: string, policy: PrivilegesPolicy, options: CallOptions = {}): Promise<void> {
    return this.#keep(sprite, 'privileges', policy, options);
  }

  removePrivileges(sprite: string, options: CallOptions = {}): Promise<void> {
    return this.#remove(sprite, 'privileges', options);
  }

  /** Kept; `effects` says what of it holds. */
  resources(sprite: string, options: CallOptions = {}): Promise<ResourcesPolicy & Effects> {
    return this.#kept(sprite, 'resources', options);
  }

  setResources(sprite: string, policy: ResourcesPolicy, options: CallOptions = {}): Promise<void> {
    return this.#keep(sprite, 'resources', policy, options);
  }

  removeResources(sprite: string, options: CallOptions = {}): Promise<void> {
    return this.#remove(sprite, 'resources', options);
  }

  async #kept(sprite: string, kind: string, options: CallOptions): Promise<Effects> {
    const answer = await this.#http.json(at(sprite, kind), options);
    if (!isObject(answer)) throw unexpected('a policy');
    return answer;
  }

  async #keep(sprite: string, kind: string, policy: object, options: CallOptions): Promise<void> {
    await this.#http.text(at(sprite, kind), { method: 'POST', body: policy, ...options });
  }

  async #remove(sprite: string, kind: string, options: CallOptions): Promise<void> {
    await this.#http.text(at(sprite, kind), { method: 'DELETE', ...options });
  }
}

/** What of a policy has an effect, and what has none, in sentences. */
interface Effects {
  effects?: string[];
}

function at(sprite: string, kind: string): string {
  return `/v1/sprites/${segment(sprite)}/policy/${kind}`;
}

function asPolicy(answer: unknown): NetworkPolicy {
  if (isObject(answer) && Array.isArray(answer['rules'])) return answer as NetworkPolicy;
  throw unexpected('a network policy');
}
