/** A key that lets into the sprites of an organization. */
export interface SshKeyRow {
  id: string;
  orgId: string;
  name: string;
  /** Such as `ssh-ed25519`. */
  type: string;
  /** The key as ssh sends it, base64. */
  publicKey: string;
  /** `SHA256:…`, unique in its organization. */
  fingerprint: string;
  createdAt: string;
  lastUsedAt: string | null;
}

/** Rows of SSH keys. */
export interface SshKeyRepository {
  /** Throws `ssh_key_taken` where the organization has it. */
  insertSshKey(row: SshKeyRow): Promise<void>;
  /** By name. */
  sshKeys(orgId: string): Promise<SshKeyRow[]>;
  /** Of all organizations: a person may belong to several. */
  sshKeysByFingerprint(fingerprint: string): Promise<SshKeyRow[]>;
  removeSshKey(orgId: string, id: string): Promise<boolean>;
  touchSshKey(id: string, at: string): Promise<void>;
}
