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

// The address names the open tab and the one inside of it: `#compare/vote`.
const selected = () => [...document.querySelectorAll('#tabs [role=tab][aria-selected=true]')]
  .filter(tab => tab.offsetParent).map(tab => tab.dataset.tabId);
const keep = () => {
  const address = '#' + selected().join('/');
  if (restoring || address === '#' || address === (location.hash || '#data')) return;
  history.pushState(null, '', location.pathname + location.search + address);
};
let restoring = true;  // until the address is followed, it is not written
const restore = async () => {
  restoring = true;
  for (const id of (location.hash.slice(1) || 'data').split('/')) {
    for (let wait = 0; wait < 50; wait++) {  // a tab is drawn once the one around it is open
      const tab = document.querySelector(`#tabs [role=tab][data-tab-id="${CSS.escape(id)}"]`);
      if (tab?.getAttribute('aria-selected') === 'false') tab.click();
      if (tab) break;
      await new Promise(done => setTimeout(done, 100));
    }
  }
  restoring = false;
};
let settled;
const watched = new MutationObserver(() => { clearTimeout(settled); settled = setTimeout(keep, 150); });
const begin = () => {
  const tabs = document.querySelector('#tabs');
  if (!tabs) return setTimeout(begin, 100);
  watched.observe(tabs, {subtree: true, attributes: true, attributeFilter: ['aria-selected']});
  addEventListener('popstate', restore);
  restore();
};
if (!document.querySelector('#guest')) begin();
