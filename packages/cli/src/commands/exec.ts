import { randomUUID } from 'node:crypto';
import { collect, type CommandResult, type ExecRequest } from '@sylph/client';
import { command } from '../command.ts';
import type { Context } from '../context.ts';
import { captured, maxCapturedBytes } from '../exec/captured.ts';
import { parseEnvironment } from '../exec/environment.ts';
import { readJobInput } from '../exec/job-input.ts';
import { terminalSize } from '../exec/on-terminal.ts';
import { pipeOutput } from '../exec/plain.ts';
import { openBrowser, runSession } from '../exec/run.ts';
import { usageError } from '../failure.ts';
import { parseSentFile, sendFirst } from '../files/sent-first.ts';

const commandOptions = {
  dir: { kind: 'text', placeholder: 'DIR', description: 'directory to run in' },
  env: {
    kind: 'list',
    placeholder: 'K=V',
    description: 'variable to set; K=V,K2=V2; a bare NAME takes its value from here; repeatable',
  },
  portForward: { kind: 'off', description: 'do not forward the ports that the command opens' },
  openBrowser,
} as const;

export const exec = command({
  name: 'exec',
  aliases: ['x'],
  summary: 'run a command in a sprite',
  description:
    "The exit code is the command's. Input is piped through; signals are passed on. Nothing of the local environment is sent unless --env says so.",
  examples: ['sylph exec -- ls -l', 'sylph exec --tty htop', 'tar c . | sylph exec --dir /srv tar x'],
  arguments: [{ name: '<command…>', description: 'program and arguments' }],
  common: ['org', 'sprite'],
  passThrough: true,
  options: {
    ...commandOptions,
    file: {
      kind: 'list',
      placeholder: 'SRC:DEST',
      description: 'copy this file or directory into the sprite first; repeatable',
    },
    tty: { kind: 'flag', short: 't', description: 'run it in a terminal' },
    stdin: { kind: 'off', description: 'give the command no input' },
    background: { kind: 'flag', description: 'start a job and come back at once; `sylph jobs` looks after it' },
    timeout: { kind: 'time', description: 'with --background: end it after so long' },
    notify: {
      kind: 'text',
      placeholder: 'URL',
      description: 'with --background: gets a signed POST when it has ended',
    },
    httpPost: { kind: 'flag', description: 'use one HTTP request instead of a WebSocket' },
  },
  async run(context, args, options) {
    checkTogether(options, context.out.json);
    const sent = options.file.map(parseSentFile);
    const sprite = await context.sprite();
    const request: ExecRequest = {
      cmd: args,
      dir: options.dir,
      env: parseEnvironment(options.env, context.env),
      stdin: options.stdin,
      ...(options.tty ? { tty: terminalSize() } : {}),
    };
    await sendFirst(context, sprite, sent);
    if (options.background) return background(context, sprite, request, options);
    if (options.httpPost) return httpPost(context, sprite, request);
    if (context.out.json) return asJson(context, sprite, request);
    const client = await context.client();
    return runSession(context, {
      sprite,
      waitingFor: `waiting for ${sprite} to wake`,
      stdin: options.stdin,
      forward: options.portForward,
      openBrowser: options.openBrowser,
      open: (watching) => client.exec(sprite, { ...request, ...watching }),
    });
  },
});

export const console = command({
  name: 'console',
  aliases: ['c'],
  summary: 'open a shell in a sprite',
  description: 'Ctrl+\\ detaches and leaves the shell running; `sylph sessions attach` comes back to it.',
  examples: ['sylph console', 'sylph console -s build zsh -l'],
  arguments: [{ name: '[command…]', description: 'another program than the login shell' }],
  common: ['org', 'sprite'],
  passThrough: true,
  options: commandOptions,
  async run(context, args, options) {
    if (context.out.json) throw usageError('a console cannot speak JSON', 'use: sylph exec --json -- COMMAND');
    if (!process.stdin.isTTY || !process.stdout.isTTY)
      throw usageError('a console needs a terminal', 'use: sylph exec -- COMMAND');
    const sprite = await context.sprite();
    const client = await context.client();
    const request: ExecRequest = {
      cmd: args.length > 0 ? args : ['bash', '-l'],
      dir: options.dir,
      env: parseEnvironment(options.env, context.env),
      tty: terminalSize(),
      stdin: true,
    };
    return runSession(context, {
      sprite,
      waitingFor: `waiting for ${sprite} to wake`,
      stdin: true,
      forward: options.portForward,
      openBrowser: options.openBrowser,
      open: (watching) => client.exec(sprite, { ...request, ...watching }),
    });
  },
});

interface Together {
  background: boolean;
  tty: boolean;
  httpPost: boolean;
  timeout: number | undefined;
  notify: string | undefined;
}

/** Throws wrong use for options that exclude or need one another. */
function checkTogether({ background, tty, httpPost, timeout, notify }: Together, json: boolean): void {
  if (background && (tty || httpPost))
    throw usageError('--background excludes --tty and --http-post', 'a job has no terminal');
  if (!background && (timeout !== undefined || notify !== undefined))
    throw usageError('--timeout and --notify go with --background', 'add --background');
  if (tty && httpPost) throw usageError('--tty and --http-post exclude each other', 'HTTP exec has no terminal');
  if (tty && json)
    throw usageError('--tty and --json exclude each other', 'leave --tty out: the output is then collected');
}

/** Starts a job. Input comes from a pipe or file, read to its end; a terminal's is not waited for. */
async function background(
  context: Context,
  sprite: string,
  { cmd, env, dir, stdin }: ExecRequest,
  options: { timeout: number | undefined; notify: string | undefined },
): Promise<void> {
  const client = await context.client();
  const input =
    stdin === true && !process.stdin.isTTY
      ? await context.out.waiting('reading the input; --no-stdin gives none', () => readJobInput(process.stdin))
      : undefined;
  const job = await context.out.waiting(`waiting for ${sprite} to wake`, () =>
    client.jobs.start(sprite, {
      cmd,
      env,
      dir,
      stdin: input,
      timeoutMs: options.timeout,
      idempotencyKey: randomUUID(),
      notify: options.notify === undefined ? undefined : { url: options.notify },
    }),
  );
  await context.out.result(job, () => `${job.id}\n`);
  context.out.note(`job ${job.id} runs in ${sprite}; see: sylph jobs logs -f ${job.id} -s ${sprite}`);
  if (job.notify_secret !== undefined) context.out.note(`key of its signature: ${job.notify_secret}`);
}

async function httpPost(context: Context, sprite: string, request: ExecRequest): Promise<number> {
  const client = await context.client();
  const running = client.execHttp(sprite, {
    cmd: request.cmd,
    dir: request.dir,
    env: request.env,
    ...(request.stdin === true ? { input: process.stdin as AsyncIterable<Uint8Array> } : {}),
  });
  try {
    if (context.out.json) return await tell(context, sprite, undefined, await collect(running, maxCapturedBytes));
    await pipeOutput(running.output);
    return (await running.exit).code;
  } finally {
    process.stdin.destroy();
  }
}

async function asJson(context: Context, sprite: string, request: ExecRequest): Promise<number> {
  const client = await context.client();
  // A person at the keyboard is not asked for input when a program reads the output.
  const stdin = request.stdin === true && !process.stdin.isTTY;
  await using session = await client.exec(sprite, { ...request, stdin });
  const feeding = (async (): Promise<never> => {
    if (stdin) {
      for await (const bytes of process.stdin) await session.stdin.write(bytes as Uint8Array);
      await session.stdin.end();
    }
    return new Promise(() => undefined);
  })();
  feeding.catch(() => undefined); // Raced below; after that our own destroying of stdin is no failure.
  try {
    return await tell(context, sprite, session.id, await Promise.race([collect(session, maxCapturedBytes), feeding]));
  } finally {
    process.stdin.destroy();
  }
}

async function tell(
  context: Context,
  sprite: string,
  session: string | undefined,
  result: CommandResult,
): Promise<number> {
  await context.out.result({ sprite, session_id: session ?? null, ...captured(result) }, () => '');
  return result.exitCode;
}
