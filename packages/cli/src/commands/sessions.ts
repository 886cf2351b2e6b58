import { collect } from '@sylph/client';
import { command } from '../command.ts';
import { captured, maxCapturedBytes } from '../exec/captured.ts';
import { openBrowser, runSession } from '../exec/run.ts';
import { ago } from '../output/human.ts';
import { table } from '../output/table.ts';

const list = command({
  name: 'list',
  aliases: ['ls'],
  summary: 'list running sessions; wakes nothing',
  common: ['org', 'sprite'],
  async run(context) {
    const sprite = await context.sprite();
    const sessions = await (await context.client()).sessions.list(sprite);
    await context.out.result(sessions, () =>
      sessions.length === 0
        ? `No sessions run in ${sprite}. Open one: sylph console -s ${sprite}\n`
        : table(
            [
              { title: 'ID' },
              { title: 'COMMAND' },
              { title: 'TTY' },
              { title: 'ATTACHED' },
              { title: 'STARTED' },
              { title: 'LAST ACTIVITY' },
            ],
            sessions.map((each) => [
              each.id,
              each.command.slice(0, 60),
              each.tty ? 'yes' : 'no',
              each.is_active ? 'yes' : 'no',
              ago(each.created),
              ago(each.last_activity),
            ]),
          ),
    );
  },
});

export const attach = command({
  name: 'attach',
  summary: 'take up a running session',
  description: 'Its output so far comes first. On a terminal Ctrl+\\ detaches again.',
  arguments: [{ name: '<id>', description: 'id from `sylph sessions list`', completes: 'session' }],
  common: ['org', 'sprite'],
  options: { stdin: { kind: 'off', description: 'only watch' }, openBrowser },
  async run(context, [id = ''], options) {
    const { stdin } = options;
    const sprite = await context.sprite();
    const client = await context.client();
    if (!context.out.json) {
      return runSession(context, {
        sprite,
        waitingFor: `waiting for session ${id} of ${sprite}`,
        stdin,
        forward: false,
        openBrowser: options.openBrowser,
        open: (watching) => client.attach(sprite, id, { stdin, ...watching }),
      });
    }
    await using session = await client.attach(sprite, id, { stdin: false });
    const result = await collect(session, maxCapturedBytes);
    await context.out.result({ sprite, session_id: id, ...captured(result) }, () => '');
    return result.exitCode;
  },
});

const kill = command({
  name: 'kill',
  summary: 'end a session',
  arguments: [{ name: '<id>', description: 'id from `sylph sessions list`', completes: 'session' }],
  common: ['org', 'sprite'],
  options: {
    signal: {
      kind: 'text',
      placeholder: 'NAME',
      description: 'signal, default TERM',
      choices: ['HUP', 'INT', 'QUIT', 'KILL', 'USR1', 'USR2', 'TERM', 'CONT', 'STOP'],
    },
    timeout: { kind: 'time', description: 'then KILL; default 10s' },
  },
  async run(context, [id = ''], { signal, timeout: timeoutMs }) {
    const sprite = await context.sprite();
    const client = await context.client();
    const result = await context.out.waiting(`waiting for session ${id} to end`, () =>
      client.sessions.kill(sprite, id, { signalName: signal, timeoutMs }),
    );
    await context.out.result(
      { sprite, session_id: id, exit_code: result.exitCode ?? null, already_exited: result.alreadyExited },
      () =>
        result.alreadyExited
          ? `session ${id} had ended before\n`
          : `session ${id} ended${result.exitCode === undefined ? '' : ` with ${result.exitCode}`}\n`,
    );
  },
});

export const sessions = command({
  name: 'sessions',
  aliases: ['s'],
  summary: 'list, attach to and kill running commands',
  subcommands: [list, attach, kill],
});
