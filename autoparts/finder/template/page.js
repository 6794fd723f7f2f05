() => document.addEventListener("paste", (event) => {
  const input = document.querySelector("input[type=file]");
  if (!input || !event.clipboardData.files.length) return;
  input.files = event.clipboardData.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
})
