/** The frame of a report: one self-contained page for a person to read, in the light or dark colours that they chose. No scripts, no network. */
import type { Verified } from './summary.ts';

const STYLE = `:root{color-scheme:light dark;--ink:#22262b;--paper:#fbfaf7;--soft:#555b63;--line:#d8d4ca;--shade:#f0ede5;--good:#1f6f4a}
@media(prefers-color-scheme:dark){:root{--ink:#e4e2dc;--paper:#1b1d20;--soft:#a9adb3;--line:#43474d;--shade:#282b30;--good:#7fd1a8}}
body{font:16px/1.55 Georgia,serif;color:var(--ink);background:var(--paper);max-width:52rem;margin:3rem auto;padding:0 1.2rem}
h1{font-size:2rem;margin-bottom:.2rem}h2{font-size:1.25rem;margin-top:2.4rem;border-bottom:1px solid var(--line);padding-bottom:.2rem}
table{border-collapse:collapse;width:100%;font:14px/1.45 system-ui,sans-serif}td,th{text-align:left;padding:.4rem .8rem .4rem 0;border-bottom:1px solid var(--line);vertical-align:top}
code,pre{font:13px/1.5 ui-monospace,monospace;background:var(--shade);padding:.1rem .3rem;overflow-wrap:anywhere}pre{padding:.6rem .8rem;white-space:pre-wrap}
.lead{font-size:1.12rem}figcaption,.note{font:13px/1.45 system-ui,sans-serif;color:var(--soft)}`;

export interface Page {
  readonly title: string;
  readonly heading: string;
  /** HTML below the heading. */
  readonly note: string;
  /** CSS of this page alone. */
  readonly style: string;
  /** HTML, one after the other. */
  readonly sections: readonly string[];
}

export const page = ({ title, heading, note, style, sections }: Page): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${html(title)}</title>
<style>
${STYLE}
${style}
</style></head><body><main>
<h1>${html(heading)}</h1>
<p class="note">${note}</p>
${sections.join('\n')}
</main></body></html>
`;

export const section = (title: string, inner: string): string => `<h2>${title}</h2>${inner}`;

export const verifierSection = ({ verified, tamperedRejected, tamperedFailedCheck }: Verified): string =>
  section(
    'Checked by an outsider',
    `<p>The stand-alone verifier ${verified ? 'accepted' : '<b>refused</b>'} the certificate, and ${tamperedRejected ? 'refused' : '<b>accepted</b>'} a copy in
which one figure had been changed, by the check <code>${html(tamperedFailedCheck)}</code>. To do it again:</p>
<pre>npx lethe certificate verify certificate.json --key verify-key.json</pre>`,
  );

/** Cells are HTML. */
export function table(head: readonly string[], rows: readonly (readonly string[] | undefined)[]): string {
  const line = (row: readonly string[], open: string, close: string): string =>
    `<tr>${row.map((cell) => `${open}${cell}${close}`).join('')}</tr>`;
  const present = rows.filter((row) => row !== undefined);
  const body = present.map((row) => line(row, '<td>', '</td>')).join('');
  return `<table>${line(head, '<th scope="col">', '</th>')}${body}</table>`;
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

export const html = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);
