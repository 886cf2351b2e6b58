import * as z from 'zod';
import { errorTable, type ErrorCode, type SylphError } from './errors.ts';

/**
 * Body of every error answer. `error` is what existing clients print when there is no `message` and is the message too; `code` is ours.
 * The public reference's clients read `message`, then `error`. Of a limit, `error` is the code that those clients know and the numbers come with it.
 */
export const errorBody = z
  .strictObject({
    error: z.string(),
    message: z.string(),
    code: z.enum(Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]]),
    hint: z.string().meta({ description: 'What can be done next' }),
    retryable: z.boolean(),
    errors: z
      .array(z.string())
      .optional()
      .meta({ description: 'Every fault of a request that does not fit, one sentence each' }),
    limit: z.int().optional().meta({
      description: 'How many are allowed: in a window of a rate, or awake at once',
    }),
    window_seconds: z.int().optional(),
    retry_after_seconds: z.int().optional(),
    current_count: z.int().optional(),
    upgrade_available: z.boolean().optional().meta({ description: 'Always false; existing clients look for it' }),
  })
  .meta({ id: 'Error' });

/** The error as clients see it; `faults` are those of a request that does not fit. */
export function toErrorBody(error: SylphError, faults?: string[]): z.output<typeof errorBody> {
  return {
    error: error.message,
    message: error.message,
    code: error.code,
    hint: error.hint,
    retryable: error.retryable,
    ...(faults === undefined ? {} : { errors: faults }),
  };
}
