import { SylphClient, type ClientError } from '@sylph/client';
import type { HostInfo } from '@sylph/model';
import { command } from '../command.ts';
import { isExposed } from '../config/config-file.ts';
import { resolveUrl } from '../config/target.ts';
import type { Context } from '../context.ts';
import { describe } from '../failure.ts';
import { paint, printable } from '../output/style.ts';
import { version } from '../version.ts';

/** A finding. `failed` ones stop sprites from being used; `warning`s do not. */
interface Finding {
  check: string;
  result: 'ok' | 'warning' | 'failed';
  detail: string;
  remedy?: string;
}

const marks = { ok: ['good', '✓'], warning: ['warn', '!'], failed: ['bad', '✗'] } as const;

export const doctor = command({
  name: 'doctor',
  summary: 'check the way from here to the server',
  description:
    "Exit code 1 when something stops sprites from being used. `sylphd doctor` checks the server's machine itself.",
  async run(context) {
    const findings = await context.out.waiting('waiting for the checks', () => examine(context));
    await context.out.result(findings, () => findings.map(line).join(''));
    return findings.some((finding) => finding.result === 'failed') ? 1 : 0;
  },
});

/** Runs the checks in the order in which they need one another; the first failed one ends them. */
async function examine(context: Context): Promise<Finding[]> {
  const findings: Finding[] = [];
  const steps: (() => Promise<Finding[]>)[] = [
    async () => [await checkConfig(context)],
    async () => [await checkSprite(context)],
    async () => [await checkServer(context)],
    async () => [await checkToken(context)],
    () => checkHost(context),
  ];
  for (const step of steps) {
    findings.push(...(await step()));
    if (findings.some((finding) => finding.result === 'failed')) break;
  }
  return findings;
}

async function checkConfig(context: Context): Promise<Finding> {
  const check = 'configuration';
  const path = context.configPath;
  try {
    const config = await context.config();
    const exposed = await isExposed(path);
    if (exposed === undefined) return { check, result: 'ok', detail: `${path} does not exist yet` };
    if (exposed)
      return { check, result: 'warning', detail: `${path} can be read by others`, remedy: `chmod 600 ${path}` };
    return { check, result: 'ok', detail: `${path}, ${Object.keys(config.servers).length} servers` };
  } catch (thrown) {
    return failed(check, thrown);
  }
}

async function checkSprite(context: Context): Promise<Finding> {
  const check = 'sprite of this directory';
  try {
    const file = await context.spriteFile();
    return { check, result: 'ok', detail: file === undefined ? 'none chosen' : `${file.sprite} (${file.path})` };
  } catch (thrown) {
    return failed(check, thrown);
  }
}

async function checkServer(context: Context): Promise<Finding> {
  const check = 'server';
  try {
    const { url, from } = resolveUrl(context.target, context.env, await context.config());
    const startedAt = performance.now();
    await new SylphClient({ baseUrl: url }).health({ timeoutMs: 10_000 });
    return {
      check,
      result: 'ok',
      detail: `${url} (${from}) answers in ${Math.round(performance.now() - startedAt)} ms`,
    };
  } catch (thrown) {
    return failed(check, thrown);
  }
}

async function checkToken(context: Context): Promise<Finding> {
  const check = 'token';
  try {
    const { tokenFrom } = await context.server();
    const page = await (await context.client()).sprites.page({ pageSize: 1 });
    return { check, result: 'ok', detail: `from ${tokenFrom}, organization ${page.org?.name ?? page.name}` };
  } catch (thrown) {
    return failed(check, thrown);
  }
}

async function checkHost(context: Context): Promise<Finding[]> {
  let host: HostInfo;
  try {
    host = await (await context.client()).host();
  } catch (thrown) {
    // Relatives of this API have no such page.
    if ((thrown as ClientError).code === 'not_found')
      return [{ check: 'version', result: 'warning', detail: 'the server does not describe itself: it is no sylphd' }];
    return [failed('version', thrown)];
  }
  const sameVersion = host.version === version;
  return [
    sameVersion
      ? { check: 'version', result: 'ok', detail: version }
      : {
          check: 'version',
          result: 'warning',
          detail: `the server has ${host.version}, this program ${version}`,
          remedy: 'use the same version on both sides',
        },
    host.default_image === null
      ? {
          check: 'images',
          result: 'failed',
          detail: 'the server has no image',
          remedy: 'on the server: sylphd image build minimal',
        }
      : {
          check: 'images',
          result: 'ok',
          detail: `${host.images.map((image) => image.name).join(', ')}; default ${host.default_image}`,
        },
    ...host.notices.map((notice): Finding => ({ check: 'notice', result: 'warning', detail: notice })),
  ];
}

function failed(check: string, thrown: unknown): Finding {
  const { message, hint } = describe(thrown);
  return { check, result: 'failed', detail: message, ...(hint === undefined ? {} : { remedy: hint }) };
}

function line({ check, result, detail, remedy }: Finding): string {
  const [style, mark] = marks[result];
  return `${paint(style, mark)} ${check}: ${printable(detail)}\n${remedy === undefined ? '' : `  ${paint('quiet', 'remedy:')} ${printable(remedy)}\n`}`;
}
