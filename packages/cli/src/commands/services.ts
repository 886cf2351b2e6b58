import { command } from '../command.ts';
import type { Context } from '../context.ts';
import { parseEnvironment } from '../exec/environment.ts';
import { usageError } from '../failure.ts';
import { ago } from '../output/human.ts';
import { writeTo } from '../output/output.ts';
import { printable } from '../output/style.ts';
import { pairs, table, type Cell } from '../output/table.ts';

type Services = Awaited<ReturnType<Context['client']>>['services'];
type Service = Awaited<ReturnType<Services['get']>>;
type Events = ReturnType<Services['put']>;
type Event = Events extends AsyncIterable<infer E> ? E : never;

const oneService = [{ name: '<name>', description: 'name from `sylph service list`', completes: 'service' }] as const;
const duration = { kind: 'time', description: 'tell what happens for so long; default 5s' } as const;
const noStream = { kind: 'off', description: 'do not tell what happens' } as const;

const create = command({
  name: 'create',
  summary: 'create or replace a service, and start it',
  description:
    'A service is a program that its sprite keeps running: started again when it ends, and when the sprite boots. It keeps no sprite awake, and sleeps and wakes with it. No shell reads the command.',
  examples: [
    'sylph service create web --http-port 8000 -- python3 -m http.server 8000',
    'sylph service create app --needs db --env MODE=fast --dir /srv/app -- node server.js',
  ],
  arguments: [
    { name: '<name>', description: 'letters, digits, dots, dashes, underscores' },
    { name: '[command…]', description: 'program and arguments, after --' },
  ],
  common: ['org', 'sprite'],
  options: {
    cmd: { kind: 'text', placeholder: 'PROGRAM', description: 'the program; what stands after -- is its arguments' },
    env: { kind: 'list', placeholder: 'K=V', description: 'variable of its environment; K alone: as it is here' },
    dir: { kind: 'text', placeholder: 'PATH', description: 'working directory; default /home/sprite' },
    needs: { kind: 'list', placeholder: 'NAME,…', description: 'services that have to run before it' },
    httpPort: { kind: 'integer', placeholder: 'PORT', description: 'it serves HTTP there' },
    duration,
    stream: noStream,
  },
  async run(context, [name = '', ...words], options) {
    const [cmd, ...args] = options.cmd === undefined ? words : [options.cmd, ...words];
    if (cmd === undefined) throw usageError('there is no program to run', `sylph service create ${name} -- PROGRAM`);
    const request = {
      cmd,
      args,
      env: parseEnvironment(options.env, context.env),
      dir: options.dir,
      needs: options.needs.flatMap((names) => names.split(',')).filter((need) => need !== ''),
      httpPort: options.httpPort,
    };
    const sprite = await context.sprite();
    const { services } = await context.client();
    return tell(context, name, services.put(sprite, name, request, { windowMs: windowMs(options) }));
  },
});

const list = command({
  name: 'list',
  aliases: ['ls'],
  summary: 'list services',
  common: ['org', 'sprite'],
  async run(context) {
    const sprite = await context.sprite();
    const client = await context.client();
    const services = await waking(context, sprite, () => client.services.list(sprite));
    await context.out.result(services, () =>
      services.length === 0
        ? `${sprite} has no services. Create one: sylph service create -s ${sprite} NAME -- PROGRAM\n`
        : table(
            [
              { title: 'NAME' },
              { title: 'STATUS' },
              { title: 'PID', align: 'right' },
              { title: 'PORT', align: 'right' },
              { title: 'RESTARTS', align: 'right' },
              { title: 'STARTED' },
              { title: 'COMMAND' },
            ],
            services.map(({ name, cmd, args, http_port: port, state }) => [
              name,
              statusCell(state.status),
              state.pid === undefined ? '' : String(state.pid),
              port === null ? '' : String(port),
              String(state.restart_count),
              ago(state.started_at),
              [cmd, ...args].join(' ').slice(0, 60),
            ]),
          ),
    );
  },
});

const get = command({
  name: 'get',
  aliases: ['info'],
  summary: 'show a service',
  arguments: oneService,
  common: ['org', 'sprite'],
  async run(context, [name = '']) {
    const sprite = await context.sprite();
    const client = await context.client();
    const service = await waking(context, sprite, () => client.services.get(sprite, name));
    await context.out.result(service, () => pairs(details(service)));
  },
});

const starting = (verb: 'start' | 'restart', summary: string) =>
  command({
    name: verb,
    summary,
    arguments: oneService,
    common: ['org', 'sprite'],
    options: { duration, stream: noStream },
    async run(context, [name = ''], options) {
      const sprite = await context.sprite();
      const { services } = await context.client();
      return tell(context, name, services[verb](sprite, name, { windowMs: windowMs(options) }));
    },
  });
const start = starting('start', 'start a service, with what it needs');
const restart = starting('restart', 'end a service if it runs, and start it');

const stop = command({
  name: 'stop',
  summary: 'end a service until somebody starts it',
  description: 'TERM to its process group, KILL after the timeout. It stays stopped when its sprite boots.',
  arguments: oneService,
  common: ['org', 'sprite'],
  options: { timeout: { kind: 'time', description: 'between TERM and KILL; default 10s' } },
  async run(context, [name = ''], { timeout: timeoutMs }) {
    const sprite = await context.sprite();
    const { services } = await context.client();
    return tell(context, name, services.stop(sprite, name, { timeoutMs }));
  },
});

const signal = command({
  name: 'signal',
  summary: 'send a signal to a service',
  arguments: [...oneService, { name: '<signal>', description: 'such as HUP' }],
  common: ['org', 'sprite'],
  async run(context, [name = '', signalName = '']) {
    const sprite = await context.sprite();
    const client = await context.client();
    await waking(context, sprite, () => client.services.signal(sprite, name, signalName));
    await context.out.result({ sprite, service: name, signal: signalName }, () => `${name} got ${signalName}\n`);
  },
});

const logs = command({
  name: 'logs',
  summary: 'print the log of a service',
  description: 'Its stdout goes to stdout, its stderr to stderr. --follow goes on, through broken connections.',
  arguments: oneService,
  common: ['org', 'sprite'],
  options: {
    follow: { kind: 'flag', short: 'f', description: 'go on with what comes' },
    lines: { kind: 'integer', short: 'n', placeholder: 'N', description: 'begin with the newest N; default 100' },
  },
  async run(context, [name = ''], { follow, lines }) {
    const sprite = await context.sprite();
    const { services } = await context.client();
    for await (const event of services.logs(sprite, name, { follow, lines })) await print(context, name, event);
  },
});

const remove = command({
  name: 'delete',
  aliases: ['rm'],
  summary: 'end and remove services; their logs stay',
  arguments: [{ name: '<name…>', description: 'names from `sylph service list`', completes: 'service' }],
  common: ['org', 'sprite'],
  async run(context, names) {
    const sprite = await context.sprite();
    const client = await context.client();
    for (const name of names) await waking(context, sprite, () => client.services.delete(sprite, name));
    await context.out.result({ sprite, removed: names }, () => names.map((name) => `${name} removed\n`).join(''));
  },
});

export const service = command({
  name: 'service',
  aliases: ['services'],
  summary: 'keep programs running: create, list, start, stop, follow',
  subcommands: [create, list, get, start, stop, restart, signal, logs, remove],
});

/** Prints events as they come. The exit code is 1 when the service could not be started, or ended within the window. */
async function tell(context: Context, name: string, events: Events): Promise<number> {
  let failed = false;
  for await (const event of events) {
    failed ||= event.type === 'error' || event.type === 'exit';
    await print(context, name, event);
  }
  return failed ? 1 : 0;
}

/** Output to where it belongs, the rest as remarks; with --json one object a line. */
async function print(context: Context, name: string, event: Event): Promise<void> {
  if (context.out.json) return context.out.result(event, () => '');
  const { type, data = '', exit_code: exitCode, count = 0 } = event;
  switch (type) {
    case 'stdout':
      return writeTo(process.stdout, data);
    case 'stderr':
      return writeTo(process.stderr, data);
    case 'started':
    case 'stopping':
      return context.out.note(`sylph: ${name} ${type === 'started' ? 'was started' : 'was told to end'}`);
    case 'stopped':
      return context.out.note(`sylph: ${name} has stopped${exitCode === undefined ? '' : ` with ${exitCode}`}`);
    case 'exit':
      return context.out.note(`sylph: ${name} ended with ${exitCode ?? '?'}; it will be started again`);
    case 'error':
      return context.out.note(`sylph: ${name}: ${printable(data)}`);
    case 'dropped':
      return context.out.note(`sylph: ${count} events are gone: they came faster than they were read`);
    case 'complete':
      return;
    default:
      return type satisfies never;
  }
}

function details({ name, cmd, args, env, dir, needs, http_port: port, state }: Service): [string, Cell | undefined][] {
  return [
    ['name', name],
    ['status', statusCell(state.status)],
    ['reason', state.error],
    ['command', [cmd, ...args].map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word))).join(' ')],
    ['directory', dir],
    [
      'environment',
      Object.entries(env)
        .map(([key, value]) => `${key}=${value}`)
        .join(' '),
    ],
    ['needs', needs.join(', ')],
    ['http port', port === null ? undefined : String(port)],
    ['pid', state.pid === undefined ? undefined : String(state.pid)],
    ['started', ago(state.started_at)],
    ['restarts', String(state.restart_count)],
    ['next start', state.next_restart_at],
  ];
}

function statusCell(status: Service['state']['status']): Cell {
  switch (status) {
    case 'running':
      return { text: status, style: 'good' };
    case 'failed':
      return { text: status, style: 'bad' };
    case 'starting':
    case 'stopping':
      return { text: status, style: 'warn' };
    case 'stopped':
      return status;
    default:
      return status satisfies never;
  }
}

function waking<T>(context: Context, sprite: string, work: () => Promise<T>): Promise<T> {
  return context.out.waiting(`waiting for ${sprite} to wake`, work);
}

function windowMs({ duration, stream }: { duration: number | undefined; stream: boolean }): number | undefined {
  return stream ? duration : 0;
}
