import * as z from 'zod';

/** `true` and `false` as clients write them in a query; an empty value is a flag that was given. */
export const flag = z.union([z.literal('').transform(() => true), z.stringbool()]).optional();

/** A whole number in a query, 0 or more. */
export const wholeNumber = z.coerce.number('is to be a number').int().min(0);
