import * as z from 'zod';

/** Most keys of one organization. */
export const maxSshKeys = 1_000;

/** `POST /v1/ssh-keys`: a line of an `authorized_keys` file or of an `id_….pub`, without options. */
export const addSshKeyRequest = z
  .strictObject({
    public_key: z.string().min(1).max(16_384),
    name: z.string().min(1).max(128).optional().meta({ description: "Default: the key's comment" }),
  })
  .meta({ id: 'AddSshKeyRequest' });

/** A key whose owner may enter every sprite of the organization. */
export const sshKey = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    type: z.string().meta({ description: 'Such as ssh-ed25519' }),
    fingerprint: z.string().meta({ description: '`SHA256:…`, as ssh-keygen -l shows it' }),
    created_at: z.iso.datetime(),
    last_used_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'SshKey' });
export type SshKey = z.output<typeof sshKey>;

/** `GET /v1/ssh-keys`: the keys, and how the server shows itself. */
export const sshKeyList = z
  .strictObject({
    keys: z.array(sshKey),
    server: z
      .strictObject({
        listen: z.string().meta({ description: 'HOST:PORT' }),
        host_key: z.string().meta({ description: 'A line for known_hosts, without the host' }),
        fingerprint: z.string(),
      })
      .nullable()
      .meta({ description: 'Null: the SSH server is switched off' }),
  })
  .meta({ id: 'SshKeyList' });
export type SshKeyList = z.output<typeof sshKeyList>;
