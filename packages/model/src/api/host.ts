import * as z from 'zod';

/** `GET /v1/host`: what this machine is and can still give. */
export const hostInfo = z
  .strictObject({
    version: z.string(),
    accelerator: z.strictObject({ kind: z.enum(['kvm', 'tcg']), reason: z.string() }),
    qemu_version: z.string(),
    kernel: z.string().meta({ description: 'Guest kernel of new sprites' }),
    agent: z.string().meta({ description: 'Guest agent of new sprites' }),
    cpus: z.int(),
    memory_total_bytes: z.int(),
    memory_available_bytes: z.int(),
    pool: z.strictObject({
      path: z.string(),
      kind: z.enum(['directory', 'loop']),
      total_bytes: z.int(),
      free_bytes: z.int(),
    }),
    cgroups: z.enum(['v2', 'none']).meta({ description: 'Whether CPU and memory limits of VMs are enforced' }),
    network: z.strictObject({ kind: z.string(), note: z.string() }),
    default_image: z.string().nullable(),
    images: z.array(
      z.strictObject({ name: z.string(), digest: z.string(), created_at: z.iso.datetime(), size_bytes: z.int() }),
    ),
    sprites: z.strictObject({ running: z.int(), warm: z.int(), cold: z.int() }),
    notices: z.array(z.string()).meta({ description: 'What the last start cleaned up, what is degraded' }),
  })
  .meta({ id: 'Host' });
export type HostInfo = z.output<typeof hostInfo>;
