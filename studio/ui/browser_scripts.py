"""What a browser gets besides Gradio's scripts, and in place of a part of them.

The scripts depend on what Gradio sends; where that changes, they change nothing, and tests over a real page fail.
"""

import functools
import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

from studio import runs

_SEARCH = re.compile(
    r"function ([\w$]+)\(e,t\)\{if\(e\.id===t\)return e;"
    r"if\(e\.children\)for\(let n of e\.children\)\{let e=\1\(n,t\);if\(e\)return e\}return null\}"
)
"""The function of Gradio's page that searches a tree of components, all of it, for the one with an id."""
_INDEXED_SEARCH = (
    "const paths{name}=new Map;function {name}(e,t){{const follow=()=>{{let n=paths{name}.has(t)?e:null;"
    "for(const i of paths{name}.get(t)??[])n=n?.children?.[i];return n?.id===t?n:null}};"
    "if(t==null)return null;const found=follow();if(found)return found;paths{name}.clear();"
    "const walk=(n,path)=>{{paths{name}.has(n.id)||paths{name}.set(n.id,path);"
    "n.children?.forEach((child,i)=>walk(child,[...path,i]))}};walk(e,[]);return follow()}}"
)
"""The same with the path to each id kept; a path that leads elsewhere by now is looked for again.

An event that no component begins has the id null, which Gradio searches for 182 times while a page loads.
"""

_EVENTS = (
    "let n=t.filter(t=>t.targets.find(([t])=>t===e.id)).map(t=>{let n=t.targets.find(([t])=>t===e.id);"
    "return n?n[1]:null}).filter(Boolean);return e.props.shared_props.attached_events=n,e"
)
"""Where Gradio finds the names of a component's events among those of all components."""
_EVENTS_BY_COMPONENT = (
    "if(this.listed!==t){this.listed=t;this.names=new Map;for(const{targets}of t)for(const[i,name]of new Map("
    "[...targets].reverse()))name&&(this.names.get(i)??this.names.set(i,[]).get(i)).push(name)}"
    "return e.props.shared_props.attached_events=[...(this.names.get(e.id)??[])],e"
)
_TREE = (
    "this.root.children=this.#t.children.map(e=>this.traverse(e,e=>this.create_node(e,c,!1,this.reactive_formatter))),"
    "this.component_ids=e.map(e=>e.id),this.initial_tabs={},X(this.root,this.initial_tabs),this.postprocess(this.root),"
    "this.root_untracked=this.root}"
)
"""Where Gradio makes the tree of a page's components: piece by piece, in a place where Svelte wraps each in proxies."""
_TREE_AT_ONCE = "let tree=this.create_node({id:t.id,children:[]},new Map,!0);" + _TREE.replace(
    "this.root.children", "tree.children"
).replace("(this.root", "(tree")
_RELOAD = "reload(e,t,n,r){"
_UNLESS_THE_SAME = "if(this.#e===e&&this.#t===t&&this.#n===n)return;"
"""Gradio makes the tree of a page, and once the page is there makes the same again, and tells it to all components."""
_SHOW = "(n.props.shared_props.visible=t.visible),q(this.root,"
_SHOW_WITHIN = "(n.props.shared_props.visible=t.visible),q(n||this.root,"
"""Gradio looks through the whole tree for what else has to be loaded when a component is to be seen: what it holds."""
_READ_BACK = "r&&!(`value`in t)&&(await this.#m(e,r)"
_READ_BACK_FOR_OTHERS = "r&&!(`value`in t)&&!(`loading_status`in t)&&(await this.#m(e,r)"
"""Gradio reads the whole state of a component before it changes anything but its value. With each step of every event
it tells all that have had to do with one how that stands, which needs no state."""
_CHANGES = {
    _EVENTS: _EVENTS_BY_COMPONENT,
    _RELOAD: _RELOAD + _UNLESS_THE_SAME,
    _TREE: _TREE_AT_ONCE,
    _SHOW: _SHOW_WITHIN,
    _READ_BACK: _READ_BACK_FOR_OTHERS,
}
"""What stands once in Gradio's core script, and what takes its place."""
_TEMPLATE = re.compile(r"(function [\w$]+\(e,t,n=`html`\)\{)(?=try\{let r=[\w$]+\.default\.compile\(e\)\(t\),)")
_PLAIN_TEMPLATE = "if(!e)return``;if(e==='${value}')return`${t.value}`;"
"""A piece of HTML is a template, and so is its style sheet: Gradio compiles two templates for each, also for the plain
one that is the value itself and for a style sheet of nothing."""
_ANSWERS = re.compile(r"(submit_loop:for await\(let [\w$]+ of )([\w$]+\.data)\)")
"""Where Gradio takes the answers of an event, to draw each. `start.js` brings them into the order of all events."""
_UNUSED = ("api_info", "api_info_as_input", "api_info_as_output", "example_inputs")
"""What the description of a component holds for a page about the API, which there is none of."""
FIRST_VISIT = "hero"
"""The id of what a page shows while there is no run: from its start, not once the server has been asked."""


def is_first_visit() -> bool:
    """Whether there is no run yet."""
    return not runs.all_runs()


@functools.cache
def prepare_pages() -> None:
    """Let each page begin with `start.js`, which Gradio's template has no place for before its own scripts.

    What a page does not use of its components' descriptions is left out: a fifth of it.
    """
    from gradio.routes import templates

    to_json = templates.env.filters.get("toorjson", str)
    script = Markup(";\n") + Markup((Path(__file__).parent / "start.js").read_text(encoding="utf-8"))

    def to_script(value: Any) -> Any:
        if not isinstance(value, dict) or "dependencies" not in value:
            return to_json(value)
        used = [{name: part[name] for name in part if name not in _UNUSED} for part in value["components"]]
        for part in used:
            if part["props"].get("elem_id") == FIRST_VISIT:
                part["props"] = {**part["props"], "visible": is_first_visit()}
        return to_json({**value, "components": used}) + script

    templates.env.filters["toorjson"] = to_script


@functools.cache
def changed() -> dict[str, str]:
    """Return the scripts of Gradio that are changed here, by name, with the changes in them.

    With every step of every event, Gradio searches the tree for each component that an event has had to do with. With
    1,000 components, each behind Svelte's proxies, that was more than half of the scripts' time: a page loads and
    changes tabs twice as fast without. At the start, it makes the tree twice, and goes through all events for each
    component of both: a third of the scripts' time.
    """
    from gradio.routes import BUILD_PATH_LIB

    paths = [path for kind in ("core", "HTML", "Blocks") for path in Path(BUILD_PATH_LIB).glob(f"{kind}-*.js")]
    scripts = {path.name: path.read_text(encoding="utf-8") for path in paths}
    return {name: new for name, script in scripts.items() if (new := with_changes(script)) != script}


def with_changes(script: str) -> str:
    """Return a script with an index in place of the search, events found by component, and a tree that is made once.

    Plain templates are not compiled, and answers are drawn in the order in which they came. The changes of the core
    script belong together: where Gradio has another one, and one of them finds no place, none is made.
    """
    script = _TEMPLATE.sub(lambda match: match[1] + _PLAIN_TEMPLATE, script)
    script = _ANSWERS.sub(r"\1window.inTurn(\2))", script)
    if len(_SEARCH.findall(script)) != 1 or any(script.count(old) != 1 for old in _CHANGES):
        return script
    for old, new in _CHANGES.items():
        script = script.replace(old, new)
    return _SEARCH.sub(lambda match: _INDEXED_SEARCH.format(name=match[1]), script)
