import { type ComponentChildren, h } from 'preact';
import { render } from 'preact-render-to-string';

const STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; }
th, td { border: 1px solid #8885; padding: .3rem .6rem; text-align: left; vertical-align: top; }
code { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.fail, .unexpected { color: #b00020; font-weight: 600; }
.pass, .as-expected { color: #16703c; }
.skip, .unsupported { color: #8a6100; }
@media (prefers-color-scheme: dark) { :root { color-scheme: dark; } .fail, .unexpected { color: #ff8a9a; } }
`;

/** A page that needs nothing but itself. */
export function htmlPage(title: string, ...children: ComponentChildren[]): string {
  const head = h(
    'head',
    null,
    h('meta', { charset: 'utf-8' }),
    h('meta', { name: 'viewport', content: 'width=device-width' }),
    h('title', null, title),
    h('style', { dangerouslySetInnerHTML: { __html: STYLE } }),
  );
  const body = h('body', null, h('h1', null, title), ...children);
  return `<!doctype html>\n${render(h('html', { lang: 'en' }, head, body))}`;
}

export function htmlTable(head: readonly string[], rows: readonly (readonly ComponentChildren[])[]): ComponentChildren {
  return h(
    'table',
    null,
    h('thead', null, h('tr', null, ...head.map((text) => h('th', { scope: 'col' }, text)))),
    h('tbody', null, ...rows.map((cells) => h('tr', null, ...cells.map((cell) => h('td', null, cell))))),
  );
}

export const marked = (kind: string, text = kind): ComponentChildren => h('span', { class: kind }, text);
export const code = (text: string): ComponentChildren => h('code', null, text);
