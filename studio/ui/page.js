// The page's language and its tabs in the browser's own terms: `lang`, a cookie, and the address.
document.documentElement.lang = element.querySelector('[aria-current]').lang;
element.addEventListener('click', event => {
  const link = event.target.closest('a[hreflang]');
  if (!link) return;
  event.preventDefault();
  document.cookie = `restyle-language=${link.hreflang}; path=/; max-age=31536000; samesite=lax`;
  link.hash = location.hash;
  const ends = Date.now() + 5000;
  const leave = () => {  // once what was typed last is kept
    if (window.formIsKept !== false || Date.now() > ends) location.assign(link.href);
    else setTimeout(leave, 50);
  };
  setTimeout(leave, 100);
});

// The address names the open tab and the one inside of it: `#compare/vote`; none is the one that is open at first.
let tabs, first, settled, turn = 0, restoring = true;  // until the address is followed, it is not written
const opened = () => '#' + [...tabs.querySelectorAll('[role=tab][aria-selected=true]')]
  .filter(tab => tab.offsetParent).map(tab => tab.dataset.tabId).join('/');
const keep = () => {
  const address = opened(), before = location.hash || first;
  if (restoring || address === '#' || address === before) return;
  const same = address.startsWith(before + '/');  // the tab inside of it was drawn
  history[same ? 'replaceState' : 'pushState'](null, '', location.pathname + location.search + address);
};
const restore = async () => {
  const mine = ++turn;
  restoring = true;
  for (const id of (location.hash || first).slice(1).split('/')) {
    for (let wait = 0; wait < 50 && mine === turn; wait++) {  // a tab is drawn once the one around it is open
      const tab = tabs.querySelector(`[role=tab][data-tab-id="${CSS.escape(id)}"]`);
      if (tab?.getAttribute('aria-selected') === 'false') tab.click();
      if (tab) break;
      await new Promise(done => setTimeout(done, 100));
    }
  }
  if (mine === turn) restoring = false;
};
const begin = () => {
  tabs = document.querySelector('#tabs, #compare-tabs');  // guests have the second alone
  if (!tabs?.querySelector('[role=tab][aria-selected=true]')) return setTimeout(begin, 100);
  first = opened();
  new MutationObserver(() => { clearTimeout(settled); settled = setTimeout(keep, 150); })
    .observe(tabs, {subtree: true, attributes: true, attributeFilter: ['aria-selected']});
  addEventListener('popstate', restore);
  restore();
};
begin();
