"use strict";
// The pages are complete without this script; it adds the controls that need one.

const dataOf = (section) => JSON.parse(section.querySelector("script").textContent);

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// One control for all folded code.
function foldAll(button) {
  const folds = document.querySelectorAll("details.code");
  if (!folds.length) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-pressed") !== "true";
    folds.forEach((fold) => { fold.open = open; });
    button.setAttribute("aria-pressed", String(open));
  });
}

// The threshold on Fig 4.4: what each position shows is looked up, nothing is counted here.
function thresholdSlider(section) {
  const shown = dataOf(section);
  const slide = section.querySelector(".slide");
  const range = slide.querySelector("input");
  const marker = section.querySelector(".marker");

  function show(position) {
    for (const cell of section.querySelectorAll("[data-shown]")) {
      cell.textContent = shown[cell.dataset.shown][position];
    }
    for (const pair of section.querySelectorAll(".pairs li")) {
      const similar = position >= Number(pair.dataset.similarFrom);
      const right = similar === (pair.dataset.same === "yes");
      pair.className = right ? "right" : "wrong";
      pair.querySelector(".verdict").textContent = `${right ? "✓" : "✗"} called ${similar ? "similar" : "dissimilar"}`;
    }
    marker.setAttribute("x1", shown.across[position]);
    marker.setAttribute("x2", shown.across[position]);
    slide.querySelector("output").textContent = shown.threshold[position];
    range.setAttribute("aria-valuetext", shown.threshold[position]);
  }

  slide.hidden = false;
  range.value = range.defaultValue;
  show(Number(range.value));
  range.addEventListener("input", () => show(Number(range.value)));
  for (const button of slide.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      range.value = button.dataset.position;
      show(Number(range.value));
    });
  }
}

// The look-alike browser: a radio button per test photo, so that the arrow keys work.
function lookAlikes(section) {
  const data = dataOf(section);
  const picture = (index, alt, size) =>
    element("img", { src: data.thumbnails[index], alt, width: size, height: size });

  function answer(query) {
    const asked = element("p", { className: "asked" }, picture(query.image, "", 72),
      element("span", {}, "Test photo: ", element("strong", {}, query.category)));
    const rows = data.models.map((model) => element("div", { className: "row" },
      element("p", { className: "model" }, model),
      element("ol", {}, ...query.neighbours[model].map((found) => {
        const right = found.category === query.category;
        return element("li", { className: right ? "right" : "wrong" }, picture(found.image, "", 56),
          element("span", { className: "verdict" }, `${right ? "✓" : "✗"} ${found.category}`),
          element("small", {}, found.distance.toFixed(2)));
      }))));
    section.querySelector(".answers").replaceChildren(element("div", { className: "answer" }, asked, ...rows));
  }

  const queries = section.querySelector(".queries");
  data.queries.forEach((query, position) => {
    const radio = element("input", { type: "radio", name: "query", checked: position === 0 });
    radio.addEventListener("change", () => answer(query));
    queries.append(element("label", { title: query.category }, radio, picture(query.image, query.category, 56)));
  });
  queries.hidden = false;
  if (data.queries.length) answer(data.queries[0]);
}

document.querySelectorAll("button.all-code").forEach(foldAll);
document.querySelectorAll("section.threshold").forEach(thresholdSlider);
document.querySelectorAll("section.lookalikes").forEach(lookAlikes);
// What scrolls sideways can be reached by keyboard.
function reachable() {
  for (const wide of document.querySelectorAll(".equation, figure")) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
  }
}
reachable();
addEventListener("resize", reachable);
if (matchMedia("(max-width: 80rem)").matches) {
  document.querySelectorAll(".contents details").forEach((contents) => { contents.open = false; });
}
