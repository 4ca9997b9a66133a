"""What people write who come from elsewhere, by the text around the wrong word, and what is written here instead."""

from __future__ import annotations

import re

HERE = "¦"
"""In a pattern: the place of the wrong word, with what stands on its line before, and with the text behind."""

_WORD = r"[^\W\d]\w*"
_FLOW = "a flow is declared with 'flow name(…) -> type { … }'"
_IMPORT = "write 'import \"file.flow\" as name'"
_CHOICE = "a value by condition is written 'if c { a } else { b }'"
_BRACES = "what belongs together stands between '{' and '}'"
_RECORD = "records are made by calling them, as in 'Name(field: value)'"
_MAP = "write 'map(key: value)', or declare a record and call it"
_FOR = "write 'for x in xs limit 8 { … }'; places come from 'enumerate(xs)'"
_FAILURE = (
    "'require condition else \"message\"' fails, which ends the run or is handled: 'let x = f() else as why { … }'"
)
_HANDLING = "what fails is handled behind it: 'let x = f() else as why { … }'"

IDIOMS: tuple[tuple[str, str], ...] = (
    # strings
    (r'"[^"]*\{[^"{}]*\w ?¦[:!]', "a hole has no format: a string is shown as it is, all else as JSON"),
    (r'"[^"]*\{[^"{}]*\w ?¦\| ?\w', "a hole has no filters: call what there is, as in '{lower(x)}'"),
    (r'\b[a-zA-Z]{1,2}¦["\']', "every string may have holes: leave the letters before it out"),
    (r"¦-- |^\s*¦(/\*|<!--|;;)", "a comment begins with '#'"),
    # declarations
    (r"\b(dict|Dict|map)\[\w+ ?¦,", "keys are strings: write 'map[…]' with the type of the values"),
    (r"\b(pub|public|export|static)¦|^(pub|public|export|static) ¦|^¦(pub|public|export|static)\b", "leave it out"),
    (rf"^\s*(flow|tool|intrinsic) {_WORD}\(.*\)\s*¦(:|=>)", "the result's type stands behind '->'"),
    (rf"^\s*intrinsic {_WORD}\([^)]*\)\s*¦", "it says what it gives: '-> type' behind the parameters"),
    (rf"^\s*(flow|tool|intrinsic) {_WORD}\s*¦(->|\{{|:|=)", "its parameters stand in brackets, '()' where it has none"),
    (rf"^\s*(flow|tool|intrinsic|record|enum|model|const|type) {_WORD}¦-{_WORD}", "a name has '_', not '-'"),
    (r"^\s*(flow|tool|intrinsic|record|enum|model|const|type) ¦\d", "a name begins with a letter"),
    (rf"^\s*flow {_WORD}\(.*\)\s*¦\{{", "a flow says what it gives: '-> type' before the block"),
    (r"^\s*flow .*->[^{]*¦(=|=>|:)", _BRACES + "; a result is given with 'return'"),
    (r"->\s*\([^)]*¦,", "several values are one record: declare it, and give that"),
    (r"^\s*(flow|tool|intrinsic) .*\([^)]*¦(\*|\.\.)", "a parameter takes one value: write 'name: list[…]'"),
    (r"^\s*flow .*¦with\b", "its clauses stand there as they are: '-> type max_depth 3 budget { … } { … }'"),
    (rf"^\s*(flow|tool|intrinsic) .*\([^)]*\b{_WORD}¦\s*\?", "what may be left out is written 'name: type?'"),
    (rf"^\s*(flow|tool|intrinsic) .*\([^)]*\b{_WORD}\s*¦[,)]", "a parameter is written 'name: type'"),
    (rf"^\s*(flow|tool|intrinsic) .*[(,]\s*{_WORD} ¦{_WORD}", "a parameter is written 'name: type'"),
    (r"^\s*¦@", "nothing is decorated; a tool is declared with 'tool name(…) -> type = python \"module:function\"'"),
    (
        r"^\s*type \w+ ¦\{|^\s*type \w+ = (record |struct )?¦\{|^\s*¦(interface|dataclass|schema)\b",
        "write 'record name { … }'",
    ),
    (r"^\s*type \w+ = (enum ¦|¦[\"'])|^\s*enum (\w+ ?¦|class ¦)", "write 'enum name { one, two }'"),
    (r"^\s*¦union\b", "write 'type name = A | B'"),
    (r"\benum\b[^{]*\{.*¦\"", "members are names; what stands for one as data follows it: 'yes = \"Yes\"'"),
    (r"\benum\b[^{]*\{.*\w¦:|\benum\b[^{]*\{.*= ?¦\d", "what stands for a member as data is a string: 'yes = \"Yes\"'"),
    (r"\b(enum|record)\b[^{]*\{.*¦;|\benum\b[^{]*\{.*(¦[|/]|\w ¦\w)", "write ',' between them"),
    (r"^\s*record \w+ ?¦\(", "fields stand between '{' and '}'"),
    (r"^\s*record \w+ ¦(extends|:|with)", "a record has no parent: write its fields, or a union of records"),
    (r"^\s*record \w+ ?¦<", "a record has no type parameters: declare one for each type"),
    (rf"\brecord\b[^{{]*\{{.*¦{_WORD}\?", "what may be left out is written 'name: type?'"),
    (rf"\brecord\b[^{{]*\{{[^:]*¦{_WORD} {_WORD}|\brecord\b.*, ?¦{_WORD} {_WORD}", "a field is written 'name: type'"),
    (rf"\brecord\b[^{{]*\{{(.*\w[\]?]*)? +¦{_WORD}\s*:", "write ',' between them"),
    (r"^\s*model ?(\w+ ?)?¦|^\s*model \w+ = ¦", "write 'model base = \"mini\"'"),
    (r"^\s*import ¦|^\s*import \".*¦|^\s*¦(include|use|using|require)\b|^\s*from .*import ¦", _IMPORT),
    (r"^\s*tool [^=]*= ¦|^\s*tool [^=]*¦(\{|from\b|$)|^\s*tool [^=]*= \w+ ¦", "write '= python \"module:function\"'"),
    (r"\bmock [\w.]+ ?¦=", "what is mocked stands with brackets: 'mock search() = …'"),
    (r"\bmock [\w.]+\(.*\) ¦(->|\w)", "an answer stands behind '=', one that fails behind 'fails'"),
    (r"\bmock .*=.*¦,", "further answers stand behind 'then'"),
    (r"^\s*test ¦", "a test has a title: 'test \"what holds\" { … }'"),
    (r"\bemits ¦\"|\bemits enum\(¦", 'what is written stands in quotes: \'emits enum("Y", "N")\''),
    (r"\bintrinsic\b[^{]*\{.*¦return\b", "what the flow sees is said by 'value it == …'"),
    (r"^\s*intrinsic [^{]*¦$", "add 'from \"name\"', or a contract in braces"),
    (r"^\s*intrinsic [^{]*from ¦", "the name stands in quotes"),
    (
        r"\bmay invoke \[[^\]]*\].*¦else\b",
        "what fails in it is handled where the model is asked: 'generate(…) on t may invoke […] else { … }'",
    ),
    (r"^\s*intrinsic [^{]*¦may\b", "it stands between the braces, or behind 'from \"name\"'"),
    (r"\(.*¦may\b", "bind it first: 'let reply = generate(…) on t may invoke […]'"),
    (r"\b(adapter|invoke|emits|value|activate) ?¦[:=]", "nothing stands between the word and its value"),
    (r"\bintrinsic\b[^{]*\{.*¦,", "nothing separates these: leave it out"),
    (r"^¦(let|const|thread|return|if|for|A|\w+ = )", "statements stand in a flow; write 'const NAME = …' here"),
    (rf"^¦{_WORD}\(.*\{{", _FLOW),
    (r"^¦(namespace|module|package)\b", "each file is a module of its own: " + _IMPORT),
    (r'^\s*¦"""', "documentation stands in lines that begin with '##'"),
    # bindings
    (rf"\b(let|const) {_WORD}(: ?\w+)? ?(:¦|¦:)=", "a name is bound with '='"),
    (rf"¦{_WORD} := |^\s*¦(auto|str|int|float|bool|mut|my|local) {_WORD} =", "a name is bound with 'let name = …'"),
    (r"\blet (mut|var|const) ¦", "names are bound once: leave that word out"),
    (rf"\blet {_WORD}\s*¦,|\blet ¦[(\[{{]", "one name is bound at a time; parts are read as '.field' or '[0]'"),
    (rf"\bthread {_WORD} ¦\+", "a longer thread gets a name of its own: 'thread longer = shorter + user(…)'"),
    (rf"¦{_WORD}(\+\+|--)|\w¦(\+\+|--)", "nothing changes: bind a new name, as in 'let next = n + 1'"),
    (rf"\bthread {_WORD} =.*\) ?¦(,|(system|user|assistant|documents)\()", "turns are joined by '+'"),
    (rf"\bthread {_WORD} = ?¦\{{", "turns are made by calls and joined by '+', as in 'system(…) + user(…)'"),
    # types
    (rf":\s*{_WORD}\[¦\]|:\s*¦\[", "a list is written 'list[…]'"),
    (r"\b[Mm]ap¦<|\b(dict|Dict|Record)¦<", "keys are strings: write 'map[…]' with the type of the values"),
    (r"¦<[\w.<>, ]*>", "the type inside stands in square brackets, as in 'list[str]'"),
    # statements
    (rf"\bfor ({_WORD} ¦(of|:)|¦\(|\(?{_WORD}¦,)", _FOR),
    (r"[\w)][\w(]* ?\([^)]*¦(for|repeat)\b", "it stands behind '=', 'return' or 'keep': bind it first, with 'let'"),
    (r"\w::?¦|\w¦::", "write 'Name.member'"),
    (r"^\s*require\(.*¦,", "write 'require condition else \"message\"'"),
    (r"\b(for|repeat|while|if|else|test|match)\b.*¦:", _BRACES),
    (r"\brepeat .*¦(times|\d|\{|while|until)", "write 'repeat (state = first) up to 3 { … }'"),
    (r"^\s*¦(do|loop|until|forever)\b", "loops are bounded: write 'repeat (…) up to 3 { … }'"),
    (r"\bif\b.*¦then\b", _CHOICE),
    (r"\bif .*¦else\b|¦if .*\belse\b", _CHOICE),
    (r"[^\W].*¦\? ?\.", "what may be none is tested first, with 'is not none'"),
    (r"[^\W].*¦\?:", "a default for what may be none is written 'x ?? …'"),
    (r"[^\W].*¦\?", _CHOICE),
    (r"\bif .*¦return\b|\bif [^=]*¦\w+$", _BRACES),
    (r"\bgenerate\([^()]*\) ¦\w", "a thread stands behind 'on': 'generate(…) on user(…)'"),
    (r"\bon \w+\(.*\)¦,", "turns are joined by '+': '… on (system(…) + user(…))'"),
    (r"\)\s*¦\|>?|\)\s*\|¦>", "calls are not chained: write 'generate(…) on user(…)'"),
    (r"\bkeep .*\bif .*¦\}", "what is left out is said so: 'keep x when condition'"),
    (r"\bmap\(.*\"¦:", "a key stands without quotes, as in 'map(city: 1)'; others come in by 'map(zip(keys, values))'"),
    (r"\([^()]*\([^()]*\) ¦else\b", "an 'else' stands behind a whole value: bind this part first, with 'let'"),
    (r"¦(elsif|elseif|elsunless)\b", "write 'else if'"),
    (r"¦(try|catch|except|finally|rescue)\b|\btry ¦", _HANDLING),
    (r"¦(throw|raise)\b", _FAILURE),
    (r"\bmatch\b.*(case ¦|¦case\b)|¦case\b", "an arm is written 'pattern => { … }'"),
    (r"\bmatch\b.*¦->", "an arm is written 'pattern => { … }'"),
    (r"=> ?¦", "what an arm does stands between '{' and '}'"),
    (rf"[(,\[] ?¦\.\.\.?{_WORD}", "nothing is spread: name each argument, join lists by '+'"),
    (r"¦(pass|\.\.\.|nop)", "a block may be empty: leave it out"),
    (r"[=(] ?[\w.]+ ¦with\b", "values don't change: make a new record, with each of its fields"),
    (r"¦with\b", "nothing is opened or closed here: what needs that is a tool's"),
    (r"¦(del|delete|free)\b", "nothing is removed: a name that is not used costs nothing"),
    (r"\breturn\s*¦\}", "every flow gives a value: 'return value'"),
    (r"\breturn\s*¦\{", _RECORD + "; maps so: 'map(key: value)'"),
    (r"\bis (not )?¦(true|false)\b", "'is' asks for a type: write the condition alone, or 'not' before it"),
    # expressions
    (r"¦(console|System|fmt|sys|logging|logger)\.", "a flow has no output but its result"),
    (
        rf"(^|\{{)\s*¦(?!break|continue){_WORD}\s*(\}}.*)?$",
        "a value alone does nothing: give it with 'return', 'keep' or 'accept'",
    ),
    (
        r"\b(map|filter|sort|sorted|best|any|all|sum|min|max)\(.*¦=>",
        "functions are not values: write 'for x in xs limit 8 { … }'",
    ),
    (r"(?<!\.)\b\w+\(.*¦=>", "an argument is written 'name: value'"),
    (r"\blambda ¦|[({=,] ?\(?[\w, ]*\)? ?¦=>", "functions are not values: declare a flow and call it by its name"),
    (r"\b[A-Z]\w* ?¦\{", _RECORD),
    (r"^(?!\s*(flow|tool|intrinsic)\b[^{]*¦).*[=(,:] ?¦\{", _MAP),
    (r"\b(int|float)\[[^\]]*¦[,)]|[:>] ?(int|float)¦\(", "a range is written 'int[0..9]'"),
    (
        r"\((?:[^()\[\]]|\([^()]*\)|\[[^\[\]]*\])*¦,",
        "values that stand together are a list, as in '[1, 2]', or a record",
    ),
    (r"(^|[^\w\])])\[[^\[\]]*(¦\.|\.¦\.)|\bin [^\[]*(¦\.|\.¦\.)", "numbers from 0 up to one are written 'range(4)'"),
    (r"\[[^\]]*¦\.|\[[^\]]*\.¦\.", "a slice is written 'xs[1:3]'"),
    (r"\[[^\]]*:[^\]]*¦:|\[\s*:¦:", "a slice has no step: write 'xs[1:3]', or 'reverse(xs)'"),
    (r"\*¦\*", "there is no power: write the product"),
    (r"/¦/", "a whole quotient is written 'round(a / b)'; a comment begins with '#'"),
    (r"¦[\^~]|<¦<|>¦>", "numbers have no operations on bits"),
    (r"[=!]=¦=", "compare with '==' or '!='"),
    (r"<¦>", "write '!='"),
    (r"\bis (not )?¦[\"'\d]", "'is' asks for a type or a member; compare values with '=='"),
    (r"[\")\]] ¦\"|(=|\+|\(|,|\breturn|\bkeep) ?[\w.]+ ¦\"", "strings are joined by '+'"),
    (r"¦\.\d", "a number begins with a digit: '0.5'"),
    (r"\d\.(\s*)¦", "a number ends with a digit: '5.0'"),
    (r"\d¦,\d", "digits are grouped by '_': '1_000'"),
    (r"\b0¦[xob]|\d¦n\b|\d¦[a-zA-Z]", "numbers are written in decimal digits, as in '31' or '0.5'"),
    (rf"{_WORD}(\[.*\])?¦!", "what may be none is tested first, with 'is not none'"),
    (r"¦not\b|\bnot ¦in\b", "write 'x not in xs'"),
)


LONGEST = 400
"""Characters of a line on either side that are looked at: patterns need not read all of what a machine wrote."""


def idiom(before: str, after: str) -> str | None:
    """What is written here instead. `before` is the line up to the wrong word, `after` begins with it."""
    near = before if len(before) <= LONGEST else f"{before[: LONGEST // 2]}…{before[-LONGEST // 2 :]}"
    text = f"{near}{HERE}{after[:LONGEST]}"
    return next((help for pattern, help in IDIOMS if re.search(pattern, text)), None)
