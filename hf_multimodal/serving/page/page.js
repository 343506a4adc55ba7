// Copyright 2026 The hf_multimodal authors.
// SPDX-License-Identifier: Apache-2.0
"use strict";

const find = (id) => document.getElementById(id);
const files = {}; // modality -> File or Blob
let info = null;

// Text always goes in as text, never as HTML.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function headers() {
  const token = find("token").value.trim();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function connect() {
  let response;
  try {
    response = await fetch("info", { headers: headers() });
  } catch {
    find("about").textContent = "The service cannot be reached.";
    return;
  }
  if (response.status === 401) {
    find("token-part").hidden = false;
    find("about").textContent = "A token is needed.";
    find("token").focus();
    return;
  }
  if (!response.ok) {
    find("about").textContent = `The service answered ${response.status}.`;
    return;
  }
  info = await response.json();
  find("token-part").hidden = true;
  find("name").textContent = info.model;
  document.title = info.model;
  find("about").textContent = `${info.kind} from ${info.modalities.join(", ")} · revision ${info.revision}`;
  find("inputs").replaceChildren(...info.modalities.flatMap(field));
  find("explain-part").hidden = !(info.kind === "prediction" && info.explains);
  find("send").textContent = { prediction: "Predict", generation: "Write", retrieval: info.searches ? "Search" : "Embed" }[info.kind];
  find("actions").hidden = false;
}

function field(modality) {
  const id = `field-${modality}`;
  if (modality === "text") {
    return [make("label", { htmlFor: id }, "Text"), make("textarea", { id, maxLength: info.limits.characters })];
  }
  if (modality === "series") return seriesFields();
  const accept = { image: "image/png,image/jpeg,image/webp", audio: "audio/*", video: "video/*,image/gif" }[modality];
  const name = { image: "Picture", audio: "Sound", video: "Clip" }[modality];
  const input = make("input", { id, type: "file", accept });
  const preview = make("div", { id: `preview-${modality}` });
  const drop = make("div", { className: "drop" }, make("p", { className: "quiet" }, "Drop, paste or choose a file."), input, preview);
  input.addEventListener("change", () => take(modality, input.files[0] || null));
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) take(modality, event.dataTransfer.files[0]);
  });
  if (modality === "audio" && navigator.mediaDevices && window.MediaRecorder) drop.append(recorder());
  return [make("label", { htmlFor: id }, name), drop];
}

function seriesFields() {
  const made = [make("label", {}, "Series or table row")];
  for (const column of info.series.channels) {
    made.push(make("label", { htmlFor: `series-${column}`, className: "quiet" }, column),
      make("input", { id: `series-${column}`, type: "text", placeholder: "a number, or numbers with commas between" }));
  }
  for (const [column, values] of Object.entries(info.series.categories)) {
    const select = make("select", { id: `series-${column}` }, make("option", { value: "" }, "unknown"));
    select.append(...values.map((value) => make("option", { value }, String(value))));
    made.push(make("label", { htmlFor: `series-${column}`, className: "quiet" }, column), select);
  }
  return made;
}

function readSeries() {
  const series = {};
  for (const column of info.series.channels) {
    const text = find(`series-${column}`).value.trim();
    if (!text) continue;
    const numbers = text.split(",").map((part) => (part.trim() === "" ? null : Number(part)));
    if (numbers.some((number) => Number.isNaN(number))) throw new Error(`${column}: ${text} is no number.`);
    series[column] = numbers.length > 1 ? numbers : numbers[0];
  }
  for (const column of Object.keys(info.series.categories)) {
    const value = find(`series-${column}`).value;
    if (value) series[column] = value;
  }
  return Object.keys(series).length ? series : null;
}

function take(modality, file) {
  files[modality] = file;
  const preview = find(`preview-${modality}`);
  preview.querySelectorAll("[src]").forEach((element) => URL.revokeObjectURL(element.src));
  preview.replaceChildren();
  if (!file) return;
  if (file.size > info.limits.body_bytes) {
    preview.append(make("p", { className: "bad" }, `The file has ${file.size} bytes; ${info.limits.body_bytes} may be sent.`));
    return;
  }
  const tag = { image: "img", audio: "audio", video: "video" }[modality];
  const shown = make(tag, { src: URL.createObjectURL(file) });
  if (tag === "img") shown.alt = "The picture that will be sent";
  else shown.controls = true;
  preview.append(shown);
}

document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files][0];
  const modality = file && { image: "image", audio: "audio", video: "video" }[file.type.split("/")[0]];
  if (modality && info && info.modalities.includes(modality)) take(modality, file);
});

// Browsers record in formats that the service does not read: what was recorded goes as WAV.
function recorder() {
  const button = make("button", { type: "button", className: "plain" }, "Record");
  let recording = null;
  button.addEventListener("click", async () => {
    if (recording) { recording.stop(); return; }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch {
      show(make("p", { className: "bad" }, "The microphone cannot be used."));
      return;
    }
    const parts = [];
    recording = new MediaRecorder(stream);
    recording.ondataavailable = (event) => parts.push(event.data);
    recording.onstop = async () => {
      stream.getTracks().forEach((track) => track.stop());
      recording = null;
      button.textContent = "Record";
      take("audio", await asWav(new Blob(parts)));
    };
    recording.start();
    button.textContent = "Stop";
  });
  return button;
}

async function asWav(blob) {
  const context = new AudioContext();
  const sound = await context.decodeAudioData(await blob.arrayBuffer());
  context.close();
  const samples = sound.getChannelData(0);
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const write = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  write(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); write(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sound.sampleRate, true); view.setUint32(28, 2 * sound.sampleRate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true); write(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, value)) * 32767, true));
  return new File([view.buffer], "recording.wav", { type: "audio/wav" });
}

function show(...children) { find("answer").replaceChildren(...children); }

function form() {
  const body = new FormData();
  for (const modality of info.modalities) {
    if (modality === "text") {
      const text = find("field-text").value;
      if (text) body.append("text", text);
    } else if (modality === "series") {
      const series = readSeries();
      if (series) body.append("series", JSON.stringify(series));
    } else if (files[modality]) body.append(modality, files[modality]);
  }
  if ([...body.keys()].length === 0) throw new Error("Fill in at least one field.");
  return body;
}

find("row").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!info) return;
  let body;
  try { body = form(); } catch (error) { show(make("p", { className: "bad" }, error.message)); return; }
  const routes = { prediction: "predict", generation: "generate", retrieval: info.searches ? "search" : "embed" };
  if (info.kind === "prediction") { body.append("top_k", 10); if (find("explain").checked) body.append("explain", "true"); }
  if (info.kind === "generation") body.append("stream", "true");
  find("send").disabled = true;
  find("answer").setAttribute("aria-busy", "true");
  const started = performance.now();
  try {
    const response = await fetch(routes[info.kind], { method: "POST", body, headers: headers() });
    if (!response.ok) await showProblem(response);
    else if (info.kind === "generation") await showStream(response);
    else showAnswer(await response.json());
    find("answer").append(make("p", { className: "quiet" }, `${Math.round(performance.now() - started)} ms`));
  } catch (error) {
    show(make("p", { className: "bad" }, `The service cannot be reached (${error.message}).`));
  }
  find("send").disabled = false;
  find("answer").removeAttribute("aria-busy");
});

async function showProblem(response) {
  let told;
  try { told = await response.json(); } catch { told = { title: `Status ${response.status}`, detail: "" }; }
  show(make("p", { className: "bad" }, make("strong", {}, told.title)), make("p", {}, told.detail));
}

function showAnswer(answer) {
  if (answer.hits) {
    const rows = answer.hits.map((hit) => make("tr", {}, make("td", {}, hit.id), make("td", {}, hit.score.toFixed(3)),
      make("td", {}, Object.entries(hit.metadata).map(([name, value]) => `${name}: ${value}`).join(", "))));
    const head = make("tr", {}, ...["item", "score", ""].map((title) => make("th", {}, title)));
    show(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
    return;
  }
  if (answer.embeddings) {
    const told = Object.entries(answer.embeddings[0]).map(([modality, vector]) =>
      make("p", {}, `${modality}: ${vector.length} numbers, ${vector.slice(0, 4).map((x) => x.toFixed(3)).join(", ")}, …`));
    show(...told);
    return;
  }
  const one = answer.predictions[0];
  const parts = one.tasks
    ? Object.entries(one.tasks).flatMap(([task, labels]) => [make("h3", {}, task), ...labels.map(bar)])
    : one.labels.map(bar);
  if (one.explanation) parts.push(...explain(one.explanation));
  show(...parts);
}

function bar(label) {
  if ("value" in label) return make("div", { className: "score" }, make("span", {}, label.label), make("span", {}), make("span", {}, label.value.toPrecision(4)));
  const fill = make("div", { className: "fill" });
  fill.style.width = `${100 * label.score}%`;
  return make("div", { className: "score" }, make("span", {}, label.label),
    make("div", { className: "track", ariaHidden: "true" }, fill), make("span", {}, `${(100 * label.score).toFixed(1)} %`));
}

function explain(told) {
  const parts = [make("h3", {}, `Why ${told.label}`)];
  for (const [modality, share] of Object.entries(told.modality_share)) parts.push(bar({ label: modality, score: share }));
  const maps = told.maps.relevance || told.maps.attention || {};
  if (maps.text && told.tokens.length) {
    const most = Math.max(...maps.text, 1e-9);
    const words = told.tokens.map((token, i) => {
      const word = make("span", {}, token);
      word.style.background = `color-mix(in srgb, var(--bar) ${Math.round(100 * Math.max(0, maps.text[i] || 0) / most)}%, transparent)`;
      return word;
    });
    parts.push(make("p", { className: "words" }, ...words.flatMap((word) => [word, " "])));
  }
  if (maps.image && told.picture) parts.push(overlay(told.picture, maps.image));
  return parts;
}

function overlay(picture, map) {
  const canvas = make("canvas", { width: map[0].length, height: map.length });
  const drawing = canvas.getContext("2d");
  const most = Math.max(...map.flat(), 1e-9);
  map.forEach((line, y) => line.forEach((value, x) => {
    drawing.fillStyle = `rgba(255, 60, 0, ${0.65 * Math.max(0, value) / most})`;
    drawing.fillRect(x, y, 1, 1);
  }));
  return make("figure", {}, make("div", { className: "map" }, make("img", { src: picture, alt: "The picture as the model reads it" }), canvas),
    make("figcaption", { className: "quiet" }, "What of the picture mattered, the redder the more."));
}

async function showStream(response) {
  const text = make("p", {});
  show(text);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const events = (rest + part.value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = JSON.parse(event.split("\n").find((line) => line.startsWith("data: ")).slice(6));
      if (event.startsWith("event: error")) show(make("p", { className: "bad" }, data.detail));
      else if (event.startsWith("event: done")) text.textContent = data.text;
      else text.textContent += data.text;
    }
  }
}

find("row").addEventListener("reset", () => {
  if (info) for (const modality of info.modalities) if (find(`preview-${modality}`)) take(modality, null);
  show(make("p", { className: "quiet" }, "Fill in any of the fields; what is left out is absent."));
});
find("connect").addEventListener("click", connect);
find("token").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); connect(); } });
connect();
