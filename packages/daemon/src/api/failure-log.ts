import { SylphError, type ErrorCode } from '@sylph/model';
import type { FastifyBaseLogger } from 'fastify';

/** What every start and every end of the daemon brings about. */
const ordinary: ReadonlySet<ErrorCode> = new Set(['not_ready', 'shutting_down']);
/** Longest chain of causes told. */
const maxCauses = 8;

/** Logs what failed on our side: with its stack what nobody foresaw (`internal`), in words what has a code of its own, and quietly what is ordinary. */
export function logFailure(log: FastifyBaseLogger, thrown: unknown, message: string, fields: object = {}): void {
  const error = SylphError.from(thrown);
  const { code, context } = error;
  if (code === 'internal') return log.error({ ...fields, err: thrown, code, context }, message);
  const line = { ...fields, code, reason: error.message, causes: causesOf(error), context };
  if (ordinary.has(code)) log.debug(line, message);
  else log.warn(line, message);
}

function causesOf(error: Error): string[] {
  const causes: string[] = [];
  for (let { cause } = error; cause instanceof Error && causes.length < maxCauses; { cause } = cause)
    causes.push(cause.message);
  return causes;
}
