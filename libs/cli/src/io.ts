/** What the commands need of the process around them; a test gives its own. */
export interface CliIo {
  out(text: string): void;
  err(text: string): void;
  /** Progress rewrites one line on a terminal and adds lines elsewhere. */
  readonly errIsTerminal: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readStdin(): Promise<string>;
  /** Aborts when the user interrupts. Until it is asked for, an interrupt ends the process as usual. */
  interruption(): AbortSignal;
}

export const processIo: CliIo = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  errIsTerminal: process.stderr.isTTY === true,
  environment: process.env,
  async readStdin() {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString('utf8');
  },
  interruption() {
    const controller = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
    return controller.signal;
  },
};
