// Pages are whole without this. With it they stay fresh, charts read out what the pointer is at, commands can be copied.
(() => {
  'use strict';
  const live = document.getElementById('live');
  const refreshed = document.getElementById('refreshed');
  const every = Number(document.body.dataset.refresh || 0) * 1000;

  const decorate = () => {
    for (const pre of document.querySelectorAll('main .finding pre')) {
      if (!navigator.clipboard || pre.nextElementSibling?.matches('button.copy')) continue;
      const button = document.createElement('button');
      button.type = 'button';
      button.className = 'copy';
      button.textContent = 'Copy command';
      button.addEventListener('click', async () => {
        try {
          await navigator.clipboard.writeText(pre.textContent);
          live.textContent = button.textContent = 'Copied';
        } catch {
          live.textContent = button.textContent = 'Could not be copied';
        }
      });
      pre.after(button);
    }
    for (const figure of document.querySelectorAll('main figure[data-chart]')) {
      if (figure.querySelector('.readout')) continue;
      const out = document.createElement('p');
      out.className = 'readout';
      figure.append(out);
      figure.addEventListener('pointerover', (event) => {
        const title = event.target.closest('.hit')?.querySelector('title');
        if (title) out.textContent = title.textContent;
      });
      figure.addEventListener('pointerleave', () => { out.textContent = ''; });
    }
  };
  decorate();

  if (!every || !refreshed) return;
  const still = window.matchMedia('(prefers-reduced-motion: reduce)');
  let timer = 0;
  let under = false;

  const busy = () => {
    const focus = document.activeElement;
    const typing = focus && focus.closest('main form');
    const selection = window.getSelection();
    const marked = selection && !selection.isCollapsed && document.getElementById('main').contains(selection.anchorNode);
    return Boolean(typing || marked);
  };

  const place = (element) => {
    if (!element || element === document.body || element.id === 'main') return null;
    const like = [...document.querySelectorAll('main a, main button, main summary, main [tabindex]')];
    return { href: element.getAttribute('href'), index: like.indexOf(element), tag: element.tagName };
  };

  const back = (at) => {
    if (!at || at.index < 0) return;
    const like = [...document.querySelectorAll('main a, main button, main summary, main [tabindex]')];
    const same = at.href !== null && like.find((one) => one.getAttribute('href') === at.href);
    const element = same || (like[at.index]?.tagName === at.tag ? like[at.index] : null);
    element?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (document.hidden || under) return;
    if (busy()) {
      refreshed.textContent = 'Not refreshed while you type or select text';
      return;
    }
    under = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: 'text/html' }, signal: AbortSignal.timeout(15000) });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById('main');
      const main = document.getElementById('main');
      if (!fresh) throw new Error('no page');
      if (busy()) return;
      const open = [...main.querySelectorAll('details')].map((one) => one.open);
      const scrolled = [...main.querySelectorAll('.scroll')].map((one) => one.scrollLeft);
      const focus = main.contains(document.activeElement) ? place(document.activeElement) : null;
      const changed = fresh.dataset.summary !== main.dataset.summary;
      main.replaceChildren(...fresh.childNodes);
      main.dataset.summary = fresh.dataset.summary;
      main.querySelectorAll('details').forEach((one, index) => { if (index in open) one.open = open[index]; });
      main.querySelectorAll('.scroll').forEach((one, index) => { one.scrollLeft = scrolled[index] || 0; });
      decorate();
      back(focus);
      if (changed) live.textContent = main.dataset.summary;
      refreshed.classList.remove('lost');
      refreshed.textContent = `Refreshed at ${new Date().toISOString().slice(11, 19)} UTC`;
    } catch {
      if (!refreshed.classList.contains('lost')) {
        refreshed.classList.add('lost');
        live.textContent = 'The watch does not answer: this page is old';
      }
      refreshed.textContent = '✗ The watch does not answer: this page is old';
    } finally {
      under = false;
    }
  };

  // Who asks for less motion gets it more rarely.
  const start = () => {
    clearInterval(timer);
    timer = setInterval(refresh, still.matches ? Math.max(every, 30000) : every);
  };
  still.addEventListener('change', start);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
  start();
})();
