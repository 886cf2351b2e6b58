import dnsPacket from 'dns-packet';
import dgram from 'node:dgram';
import { ipBatch, runTool } from '../tools.ts';
import { Party } from './party.ts';

/** Addresses of the test's internet. All of it is one namespace behind this host's uplink. */
export const internet = {
  web4: '93.1.1.1',
  other4: '93.1.1.2',
  web6: '2a00:1:1::1',
  /** This host, as its provider knows it. */
  host4: '93.9.9.2',
  host6: '2a00:9:9::2',
  /** Networks behind the uplink that are nobody's business. */
  private4: ['10.50.0.1', '192.168.7.7', '172.16.5.5', '100.64.1.1', '169.254.169.254', '203.0.113.9'],
  private6: ['fd00:50::1', '2001:db8::7'],
  nameServer: '93.1.1.53',
} as const;

/** Ports that are served on every address of the internet. */
export const ports = { web: 80, tls: 443, dns: 53, dot: 853, other: 4242 };

/** An internet for tests, in a namespace: servers on its addresses, and a name server in this process's stead. What serves it is {@link party}. */
export class Internet implements AsyncDisposable {
  readonly party: Party;
  /** What names lead to. */
  readonly names = new Map<string, { addresses: string[]; ttlS: number }>();
  readonly #stack: AsyncDisposableStack;
  /** Questions that came to the name server. */
  readonly asked: string[] = [];

  private constructor(party: Party, stack: AsyncDisposableStack) {
    this.party = party;
    this.#stack = stack;
  }

  /** Makes it: our own namespace is "the host", and gets an uplink to it. */
  static async open(): Promise<Internet> {
    await using stack = new AsyncDisposableStack();
    await ipBatch([
      'netns add internet',
      'link add uplink type veth peer name world netns internet',
      // Its addresses are those it is given.
      'link set dev uplink addrgenmode none',
      'link set uplink up',
      `addr add ${internet.host4}/24 dev uplink`,
      `addr add ${internet.host6}/64 dev uplink nodad`,
    ]);
    stack.defer(() => ipBatch(['link del uplink', 'netns del internet']));
    const all4 = [internet.web4, internet.other4, internet.nameServer, ...internet.private4];
    await ipBatch(
      [
        'link set lo up',
        'link set world up',
        'addr add 93.9.9.1/24 dev world',
        'addr add 2a00:9:9::1/64 dev world nodad',
        ...all4.map((address) => `addr add ${address}/32 dev lo`),
        ...[internet.web6, ...internet.private6].map((address) => `addr add ${address}/128 dev lo nodad`),
      ],
      'internet',
    );
    await ipBatch(['route add default via 93.9.9.1', 'route add default via 2a00:9:9::1']);
    const party = stack.use(new Party('internet'));
    // On each by itself: a datagram's answer has to come from the address it went to.
    for (const address of [...all4, internet.web6, ...internet.private6])
      for (const port of Object.values(ports)) await party.serve(address, port);
    const opened = new Internet(party, stack.move());
    await opened.#nameServer();
    return opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  /** On the loopback of this host, where the forwarder asks; the guests' path to foreign name servers is served by the party. */
  async #nameServer(): Promise<void> {
    const socket = dgram.createSocket('udp4');
    this.#stack.defer(() => void socket.close());
    socket.on('message', (bytes, from) => {
      const question = dnsPacket.decode(bytes);
      const { name = '', type = 'A' } = question.questions?.[0] ?? {};
      this.asked.push(name);
      const known = this.names.get(name.toLowerCase());
      const addresses = (known?.addresses ?? []).filter((address) => address.includes(':') === (type === 'AAAA'));
      const answer = dnsPacket.encode({
        ...{ type: 'response', id: question.id ?? 0, flags: dnsPacket.RECURSION_AVAILABLE | (known ? 0 : 3) },
        questions: question.questions ?? [],
        answers: addresses.map((data) => ({ type: type as 'A', name, ttl: known?.ttlS ?? 60, data })),
      });
      socket.send(answer, from.port, from.address);
    });
    await new Promise<void>((resolve) => socket.bind(nameServer.port, nameServer.address, resolve));
  }
}

/** Where {@link Internet} answers for the host. */
export const nameServer = { address: '127.0.0.1', port: 5399 };

/** Everything of the host's network that must not change: devices, addresses, routes, rules, settings. */
export async function hostState(): Promise<Record<string, string>> {
  const settings = ['net.ipv4.ip_forward', 'net.ipv4.conf.all.accept_redirects', 'net.ipv6.conf.all.forwarding'];
  return {
    links: (await runTool('ip', ['-br', 'link'])).replaceAll(/^(\S+).*$/gm, '$1'),
    addresses: await runTool('ip', ['-br', 'addr']),
    routes: `${await runTool('ip', ['route', 'show', 'table', 'all'])}${await runTool('ip', ['-6', 'route', 'show', 'table', 'all'])}`,
    rules: await runTool('nft', ['list', 'ruleset']),
    settings: await runTool('sh', [
      '-c',
      `cat ${settings.map((name) => `/proc/sys/${name.replaceAll('.', '/')}`).join(' ')}`,
    ]),
    namespaces: ((await runTool('ip', ['netns', 'list'])).match(/^sylph\S*/gm) ?? []).join(),
  };
}
