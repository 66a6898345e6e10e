// The page's language and its tabs in the browser's own terms: `lang`, a cookie, and the address.
document.documentElement.lang = element.querySelector('[aria-current]').lang;
element.addEventListener('click', event => {
  const link = event.target.closest('a[hreflang]');
  if (!link) return;
  event.preventDefault();
  document.cookie = `restyle-language=${link.hreflang}; path=/; max-age=31536000; samesite=lax`;
  link.hash = location.hash;
  const keeper = document.querySelector('#keep-draft'), now = Date.now();
  keeper?.click();
  const leave = () => {  // once what was typed last is kept
    if (!keeper || window.draftKept >= now || Date.now() > now + 5000) location.assign(link.href);
    else setTimeout(leave, 50);
  };
  leave();
});

// Light, dark, or as the system is: kept in this browser.
const THEMES = ['system', 'light', 'dark'];
const theme = element.querySelector('#theme'), prefersDark = matchMedia('(prefers-color-scheme: dark)');
const chosenTheme = () => THEMES.find(name => name === localStorage.getItem('restyle-theme')) || 'system';
const applyTheme = () => {
  const name = chosenTheme();
  document.body.classList.toggle('dark', name === 'dark' || (name === 'system' && prefersDark.matches));
  theme.title = theme.dataset[name];
  theme.setAttribute('aria-label', theme.dataset[name]);
  theme.textContent = {system: '◐', light: '☀', dark: '☾'}[name];
};
theme.addEventListener('click', () => {
  localStorage.setItem('restyle-theme', THEMES[(THEMES.indexOf(chosenTheme()) + 1) % THEMES.length]);
  applyTheme();
});
prefersDark.addEventListener('change', () => setTimeout(applyTheme));  // after Gradio's own listener
applyTheme();

// The charts' axes: steps are whole numbers, and a log scale, whose data are logarithms, has labels in its own units.
const inItsUnits = value => value < 0.01 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
const labelAxes = () => {
  for (const label of document.querySelectorAll('.role-axis-label text')) {
    const given = label.dataset.words === label.textContent ? label.dataset.given : label.textContent;
    const value = Number(given.replace('\u2212', '-').replaceAll(',', ''));
    const isSteps = label.closest('.role-axis')?.getAttribute('aria-label')?.startsWith('X-axis');
    let words = given;
    if (isSteps && given.includes('.')) words = Number.isInteger(value) ? String(value) : '';
    if (!isSteps && label.closest('.card')?.querySelector('[data-log="1"]')) words = inItsUnits(10 ** value);
    if (label.textContent === words && label.dataset.words === words) continue;
    Object.assign(label.dataset, {given, words});
    label.textContent = words;
  }
  for (const axis of document.querySelectorAll('[aria-label^="X-axis"]')) {  // its last label ends at the last step
    const [last, before] = [...axis.querySelectorAll('.role-axis-label text')].reverse();
    const end = last?.getBoundingClientRect();
    if (end?.width && before?.getBoundingClientRect().right + 4 > end.left) before.textContent = '';
  }
  for (const legend of document.querySelectorAll('[data-axis]')) {
    const title = legend.closest('.card').querySelector('[aria-label^="Y-axis"] .role-axis-title text');
    if (title && title.textContent !== legend.dataset.axis) title.textContent = legend.dataset.axis;
  }
};

// A run's first point is looked for twice a second, for half a minute; the page's clock looks every two seconds.
let eager = {};
setInterval(() => {
  const run = document.querySelector('#status [data-alive="1"]')?.dataset.run;
  if (!run || document.hidden || document.querySelector('#legend .key')) return;
  if (eager.run !== run) eager = {run, left: 60};
  if (eager.left-- > 0) document.querySelector('#look-again')?.click();
}, 500);

// Of a list of tabs, the Tab key reaches the open one alone; the arrow keys, Home and End open the others.
const roveTabs = () => document.querySelectorAll('[role=tab]').forEach(tab => {
  const index = tab.getAttribute('aria-selected') === 'true' ? 0 : -1;
  if (tab.tabIndex !== index) tab.tabIndex = index;
});
document.addEventListener('keydown', event => {
  const list = event.target.matches?.('[role=tab]') ? event.target.parentElement : null;
  const all = [...(list?.querySelectorAll('[role=tab]') ?? [])], at = all.indexOf(event.target);
  const next = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1}[event.key];
  if (at < 0 || next === undefined) return;
  event.preventDefault();
  const tab = all.at(next % all.length);
  tab.click();
  tab.focus();
});

const warn = console.warn;  // Gradio's charts name a version of Vega-Lite that is not the one that it brings
const isOfVersion = words => words.some(word => String(word).startsWith('The input spec uses Vega-Lite'));
console.warn = (...words) => isOfVersion(words) || warn(...words);

// On a phone, what can be folded is folded at first.
if (matchMedia('(max-width: 700px)').matches) {
  const seen = new WeakSet();
  new MutationObserver(() => document.querySelectorAll('.fold > .label-wrap.open').forEach(label => {
    if (!seen.has(label)) { seen.add(label); setTimeout(() => label.click(), 300); }  // once it is set up
  })).observe(document.body, {subtree: true, childList: true});
}

// The address names the open tab and the one inside of it: `#compare/vote`; none is the one that is open at first.
let tabs, first, settled, turn = 0, restoring = true;  // until the address is followed, it is not written
const opened = () => '#' + [...tabs.querySelectorAll('[role=tab][aria-selected=true]')]
  .filter(tab => tab.offsetParent).map(tab => tab.dataset.tabId).join('/');
const keep = replaces => {
  const address = opened(), before = location.hash || first;
  if (restoring || address === '#' || address === before) return;
  replaces ||= address.startsWith(before + '/');  // the tab inside of it was drawn
  history[replaces ? 'replaceState' : 'pushState'](null, '', location.pathname + location.search + address);
};
const restore = async () => {
  const mine = ++turn;
  restoring = true;
  const [outer, ...inner] = (location.hash || first).slice(1).split('/');
  const find = id => tabs.querySelector(`[role=tab][data-tab-id="${CSS.escape(id)}"]`);
  let tab = find(outer);
  tab?.click();
  for (const id of tab ? inner : []) {  // drawn once the outer one is open
    for (let wait = 0; !(tab = find(id)) && wait < 20 && mine === turn; wait++) {
      await new Promise(done => setTimeout(done, 100));
    }
    if (mine !== turn) return;
    tab?.click();
  }
  if (mine !== turn) return;
  restoring = false;
  setTimeout(keep, 150, true);  // what is open in place of a tab that is not there
};
const begin = () => {
  tabs = document.querySelector('#tabs, #compare-tabs');  // guests have the second alone
  if (!tabs?.querySelector('[role=tab][aria-selected=true]')) return setTimeout(begin, 100);
  first = opened();
  new MutationObserver(() => { clearTimeout(settled); settled = setTimeout(keep, 150, false); })
    .observe(tabs, {subtree: true, attributes: true, attributeFilter: ['aria-selected']});
  addEventListener('popstate', restore);
  restore();
};
begin();

// Messages lead to the setting that they are about: its tab and accordions are opened, and its control is marked.
const wait = async find => {
  for (let turn = 0; turn < 30; turn++, await new Promise(done => setTimeout(done, 100))) if (find()) return find();
};
const goTo = async setting => {
  const [tab, ...folds] = JSON.parse(document.querySelector('#places i').dataset.places)[setting] ?? [];
  tabs.querySelector(`[role=tab][data-tab-id="${tab}"]`)?.click();
  for (const fold of folds) {
    const label = await wait(() => document.querySelector(`#${fold} .label-wrap`));
    if (!label?.classList.contains('open')) label?.click();
  }
  const control = await wait(() => document.querySelector(`.${setting}`));
  if (!control) return scrollTo(0, 0);
  control.scrollIntoView({block: 'center'});
  control.querySelector('input, textarea')?.focus({preventScroll: true});
};
document.addEventListener('click', event => {
  const button = event.target.closest('.go-to');
  if (button) goTo(button.dataset.setting);
});
const mark = () => {
  const told = new Map([...document.querySelectorAll('.go-to')].filter(button => button.dataset.why).reverse()
    .map(button => [button.dataset.setting, button.dataset]));  // of several about one setting, the first
  document.querySelectorAll('.wrong, .unwise').forEach(control => {
    if (control.classList.contains(told.get(control.dataset.setting)?.mark)) return;
    control.classList.remove('wrong', 'unwise');
    control.querySelector('.problem')?.remove();
    control.querySelector('input, textarea')?.removeAttribute('aria-invalid');
  });
  told.forEach(({mark}, setting) => document.querySelectorAll(`.${setting}:not(.${mark}):has(input, textarea)`).forEach(control => {
    control.classList.add(mark);
    control.dataset.setting = setting;
    control.insertAdjacentHTML('beforeend', '<p class="problem"></p>');
    if (mark === 'wrong') control.querySelector('input, textarea')?.setAttribute('aria-invalid', 'true');
  }));
  document.querySelectorAll('.problem').forEach(place => {
    const {mark, why} = told.get(place.parentElement.dataset.setting), words = (mark === 'unwise' ? `⚠ ${why}` : why).replace(/e-(?=\d)/g, 'e\u2011');
    if (place.textContent !== words) place.textContent = words;
  });
};
// A file of a kind that a control does not take is refused by Gradio, in English.
const translate = () => document.querySelectorAll('.toast-message-text').forEach(message => {
  const [, name, kinds] = /^Invalid file type: (.*)\. Only (.*) allowed\.$/s.exec(message.textContent) ?? [];
  const words = document.querySelector('#places i').dataset.refused;
  if (name) message.textContent = words.replace('{name}', () => name).replace('{kinds}', () => kinds.replaceAll(',', ', '));
});
let messages;  // the page ends above them
const room = new ResizeObserver(([{target}]) => {
  const height = `${Math.ceil(target.getBoundingClientRect().height)}px`;
  if (height !== (document.documentElement.style.getPropertyValue('--messages') || '0px')) {  // all styles follow
    document.documentElement.style.setProperty('--messages', height);
  }
});
const makeRoom = () => {
  const now = document.querySelector('.toast-wrap');
  if (!now || now === messages) return;
  if (messages) room.unobserve(messages);
  room.observe(messages = now);
};
let tidying;  // at most ten times a second: a page that streams changes with every token
new MutationObserver(() => {
  tidying ??= setTimeout(() => {
    tidying = undefined;
    labelAxes();
    roveTabs();
    mark();
    translate();
    makeRoom();
  }, 100);
}).observe(document.body, {subtree: true, childList: true, attributes: true, attributeFilter: ['aria-selected']});
