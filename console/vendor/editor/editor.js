// The editor of long values: CodeMirror in the place of a text area, which stays behind it and is what the form sends.
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { xml } from "@codemirror/lang-xml";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, StreamLanguage, bracketMatching, foldGutter, foldKeymap, syntaxHighlighting } from "@codemirror/language";
import { properties } from "@codemirror/legacy-modes/mode/properties";
import { toml } from "@codemirror/legacy-modes/mode/toml";
import { unifiedMergeView } from "@codemirror/merge";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const LANGUAGES = { json, xml, yaml, toml: () => StreamLanguage.define(toml), properties: () => StreamLanguage.define(properties) };

// Colours of the page, which custom properties carry into the shadow root.
const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.variableName), tags.tagName, tags.attributeName], color: "var(--link)" },
  { tag: [tags.string, tags.attributeValue, tags.quote], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom, tags.keyword], color: "var(--warn)" },
  { tag: [tags.comment, tags.meta], color: "var(--soft)" },
  { tag: tags.invalid, color: "var(--bad)" },
]);

const theme = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--ground)", border: "1px solid var(--soft)", borderRadius: "4px", fontSize: ".9rem" },
  "&.cm-focused": { outline: "2px solid var(--link)", outlineOffset: "2px" },
  ".cm-scroller": { fontFamily: "ui-monospace, Menlo, Consolas, monospace", maxHeight: "65vh", minHeight: "8rem" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--raised)", color: "var(--soft)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "transparent" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "light-dark(#bcd6f5, #2c4a6e)" },
  ".cm-panels": { backgroundColor: "var(--raised)", color: "var(--text)" },
  ".cm-textfield": { backgroundColor: "var(--ground)", color: "var(--text)" },
  ".cm-button": { backgroundImage: "none", backgroundColor: "var(--ground)", color: "var(--link)" },
  ".cm-deletedChunk, &.cm-merge-b .cm-deletedChunk": { backgroundColor: "var(--bad-ground)", color: "var(--bad)" },
  ".cm-changedLine, &.cm-merge-b .cm-changedLine": { backgroundColor: "var(--good-ground)" },
  ".cm-collapsedLines": { background: "var(--raised)", color: "var(--soft)" },
});

// Puts the editor before the text area; answers its view.
window.pilothouseEditor = (area) => {
  const host = document.createElement("div");
  host.dataset.typing = "";
  area.before(host);
  const root = host.attachShadow({ mode: "open" });
  const send = () => {
    area.form.requestSubmit(area.form.querySelector("button.main"));
    return true;
  };
  const language = LANGUAGES[area.dataset.editor];
  const extensions = [
    lineNumbers(), foldGutter(), history(), drawSelection(), highlightSpecialChars(), highlightActiveLine(), highlightSelectionMatches(),
    bracketMatching(), search({ top: true }), syntaxHighlighting(colours), theme, EditorView.lineWrapping,
    keymap.of([{ key: "Mod-Enter", run: send, stopPropagation: true }, ...defaultKeymap, ...historyKeymap, ...searchKeymap, ...foldKeymap]),
    EditorView.contentAttributes.of({ "aria-label": area.dataset.label || area.name, spellcheck: "false" }),
    EditorView.updateListener.of((update) => { if (update.docChanged) area.value = update.state.doc.toString(); }),
  ];
  if (language) extensions.push(language());
  if ("original" in area.dataset) {
    extensions.push(unifiedMergeView({ original: area.dataset.original, mergeControls: false, highlightChanges: true }));
  }
  const view = new EditorView({ state: EditorState.create({ doc: area.value, extensions }), parent: root, root });
  area.hidden = true;
  if (area.dataset.focus !== undefined) view.focus();
  return view;
};
