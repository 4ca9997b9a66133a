"""The words of the language in tables: what starts a statement, what is reserved, what messages call terminals."""

from __future__ import annotations

STATEMENTS = (
    *("let", "thread", "if", "match", "return", "for", "repeat", "require"),
    *("keep", "accept", "next", "mock", "expect"),
)
DECLARATIONS = ("import", "model", "enum", "record", "type", "const", "intrinsic", "tool", "flow", "test")
OPERATORS = ("and", "or", "not", "in", "is", "as", "on")
LITERALS = ("true", "false", "none")
RESERVED = frozenset((*STATEMENTS, *OPERATORS, *LITERALS, "else", "when"))

# groups of terminals that are said in one word; the first whose members are all accepted stands for them
GROUPS: dict[str, frozenset[str]] = {
    "a declaration": frozenset(word.upper() for word in DECLARATIONS),
    "a statement": frozenset({"LET", "RETURN", "IF", "MATCH", "EXPECT", "MOCK"}),
    "an expression": frozenset({"NAME", "INT", "STRING", "LSQB"}),
    "a pattern": frozenset({"NAME", "INT", "STRING", "TRUE", "NONE"}),
    "a type": frozenset({"NAME", "NONE", "LPAR"}),
}
# what else belongs to a group and is not said beside it
MEMBERS: dict[str, frozenset[str]] = {
    "a declaration": frozenset(),
    "a statement": frozenset(word.upper() for word in STATEMENTS),
    "an expression": frozenset(
        {"NAME", "LABEL", "INT", "FLOAT", "DURATION", "STRING", "BLOCK_STRING", "TRUE", "FALSE", "NONE", "NOT"}
        | {"MINUS", "LPAR", "LSQB", "FOR", "REPEAT", "IF", "MATCH"}
    ),
    "a pattern": frozenset({"NAME", "INT", "FLOAT", "DURATION", "STRING", "BLOCK_STRING", "TRUE", "FALSE", "NONE"})
    | {"LPAR"},
    "a type": frozenset({"NAME", "NONE", "LPAR", "ENUM", "THREAD"}),
}
# what may follow any value: said only when nothing else is left to say
CONTINUATIONS = frozenset(
    {"PLUS", "MINUS", "TIMES", "COMPARE", "COALESCE", "AND", "OR", "IN", "IS", "AS", "ON", "DOT", "LPAR", "LSQB", "MAY"}
    | {"VBAR", "QMARK", "NOT", "STRICT", "__ANON_0"}
)

TERMINALS: dict[str, str] = {
    "NAME": "a name",
    "WORD": "a name",
    "LABEL": "a name and ':'",
    "INT": "a number",
    "FLOAT": "a number",
    "DURATION": "a duration",
    "STRING": "a string",
    "BLOCK_STRING": "a string",
    "COMPARE": "an operator",
    "COALESCE": "an operator",
    "PLUS": "an operator",
    "MINUS": "an operator",
    "TIMES": "an operator",
    "$END": "the end of the file",
}
PUNCTUATION: dict[str, str] = {
    "LBRACE": "{",
    "RBRACE": "}",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "EQUAL": "=",
    "COMMA": ",",
    "COLON": ":",
    "DOT": ".",
    "VBAR": "|",
    "QMARK": "?",
    "ARROW": "->",
    "YIELDS": "=>",
    "DOTS": "..",
    "AT_MOST": "<=",
}

# methods of other languages, and how the same is written here of `x`
METHODS: dict[str, str] = {
    **dict.fromkeys(("len", "length", "size", "count"), "len({x})"),
    **dict.fromkeys(("strip", "trim"), "trim({x})"),
    **dict.fromkeys(("lower", "toLowerCase", "casefold"), "lower({x})"),
    **dict.fromkeys(("upper", "toUpperCase"), "upper({x})"),
    **dict.fromkeys(("startswith", "startsWith", "starts_with"), "starts_with({x}, …)"),
    **dict.fromkeys(("endswith", "endsWith", "ends_with"), "ends_with({x}, …)"),
    **dict.fromkeys(("contains", "includes", "has", "find", "index"), "… in {x}"),
    "get": "{x}[…] ?? …",
    "keys": "keys({x})",
    "abs": "max({x}, -{x})",
    "values": "values({x})",
    **dict.fromkeys(("items", "entries"), "zip(keys({x}), values({x}))"),
    **dict.fromkeys(("append", "push", "add", "extend", "concat"), "{x} + […]"),
    **dict.fromkeys(("map", "filter"), "for item in {x} limit 8 {{ keep … }}"),
    **dict.fromkeys(("sort", "sorted"), "sort({x})"),
    **dict.fromkeys(("reverse", "reversed"), "reverse({x})"),
    **dict.fromkeys(("to_string", "toString", "str"), "str({x})"),
    "split": "split({x}, …)",
    "join": "join(…, {x})",
    "replace": "replace({x}, …, …)",
    "format": '"… {{hole}} …"',
    "sum": "sum({x})",
    "first": "first({x})",
    "slice": "{x}[0:3]",
}

# functions of other languages that this one lacks, and what there is instead
FOREIGN_CALLS: dict[str, str] = {
    **dict.fromkeys(("print", "println", "printf", "log", "echo", "puts"), "a flow has no output but its result"),
    **dict.fromkeys(("int", "Int", "parseInt"), "'round(x)' makes a float whole; text is read by 'generate(…) as int'"),
    **dict.fromkeys(("bool", "Boolean"), "write a condition, as in 'x != 0' or 'x is not none'"),
    **dict.fromkeys(("type", "typeof", "isinstance"), "ask with 'is', as in 'x is str'"),
    **dict.fromkeys(("list", "set", "tuple", "array"), "a list is written '[a, b]'"),
    **dict.fromkeys(("dict", "object"), "write 'map(key: value)', or declare a record and call it"),
    **dict.fromkeys(("filter", "reduce"), "write 'for x in xs limit 8 { keep x when … }'"),
    **dict.fromkeys(("open", "fetch", "eval", "exec", "system_call"), "what reaches outside is a tool"),
    **dict.fromkeys(("input", "readline"), "a parameter of the flow is its input"),
    **dict.fromkeys(("format", "sprintf"), 'values stand in a string in braces, as in "{x}"'),
    **dict.fromkeys(("llm", "complete", "completion", "ask", "chat"), "write 'generate(…) on user(…)'"),
    "abs": "write 'max(x, -x)'",
    **dict.fromkeys(("string", "String", "repr"), "write 'str(x)', or a hole, as in \"{x}\""),
    **dict.fromkeys(("parse", "json", "loads", "Number"), "text is read by 'generate(…) as T on …', or by a tool"),
    **dict.fromkeys(("substring", "substr", "slice"), "a slice is written 'x[0:3]'"),
    "length": "write 'len(x)'",
    "concat": "write 'a + b'",
}

# functions that take more or other arguments elsewhere, and what there is instead
OTHERWISE: dict[str, str] = {
    **dict.fromkeys(("min", "max"), "it takes two numbers; of a list, these are 'sort(xs)[0]' and 'sort(xs)[-1]'"),
    "round": "digits are kept so: 'round(x * 100) / 100'",
    "range": "it begins with 0; from 1 to 3 is 'range(4)[1:]'",
    "join": "what is no string is made one: 'for x in xs limit 8 { keep str(x) }'",
}

# arguments of other languages' `sort`, and what there is instead
FOREIGN_ARGUMENTS: dict[str, str] = {
    **dict.fromkeys(("reverse", "desc", "descending", "order"), "from large to small is 'reverse(sort(…))'"),
    **dict.fromkeys(("key", "field", "on"), "the name of a field stands behind 'by:'"),
}

# settings of other programs' generations, and what there is instead
FOREIGN_SETTINGS: dict[str, str] = {
    **dict.fromkeys(
        ("as", "type", "schema", "format", "response_format", "returns"),
        "a type stands before 'on': '… as T on thread'",
    ),
    **dict.fromkeys(("prompt", "messages", "system", "user", "input"), "what is asked stands behind 'on', as a thread"),
    **dict.fromkeys(("model", "engine"), "a program runs on one model, which 'model base = \"…\"' names"),
    **dict.fromkeys(("temp", "t"), "did you mean 'temperature'?"),
    **dict.fromkeys(("tokens", "max_new_tokens", "max_length", "length"), "did you mean 'max_tokens'?"),
    **dict.fromkeys(("num_samples", "best_of", "count"), "did you mean 'n'?"),
    **dict.fromkeys(("retries", "max_retries"), "did you mean 'retry'?"),
    "stop_sequences": "did you mean 'stop'?",
    "tools": "what the model may call stands behind the thread: '… on thread may invoke [search]'",
}

# what people write who come from elsewhere: the wrong text, and what stands here instead
FOREIGN: dict[str, str] = {
    "&&": "write 'and'",
    "&": "write 'and'",
    "||": "write 'or'",
    "|": "write 'or' between conditions; '|' joins types",
    "?": "there is no '? :': return from the branches of an 'if'",
    "//": "a comment begins with '#'",
    "!": "write 'not'",
    "'": "a string stands between double quotes",
    "`": "a string stands between double quotes",
    **dict.fromkeys("“”„«»‘’‚", "a string stands between straight double quotes"),
    ";": "nothing separates statements: leave it out",
    "/": "a comment begins with '#'",
    "def": "a flow is declared with 'flow name(…) -> type { … }'",
    "fn": "a flow is declared with 'flow name(…) -> type { … }'",
    "func": "a flow is declared with 'flow name(…) -> type { … }'",
    "function": "a flow is declared with 'flow name(…) -> type { … }'",
    "class": "write 'record name { … }'",
    "struct": "write 'record name { … }'",
    "var": "a name is bound with 'let name = …'",
    "val": "a name is bound with 'let name = …'",
    "while": "loops are bounded: write 'repeat (…) up to 3 { … }'",
    "elif": "write 'else if'",
    "switch": "write 'match x { … }'",
    "case": "an arm is written 'pattern => { … }'",
    **dict.fromkeys(
        ("try", "catch", "except", "rescue"), "what fails is handled behind it: 'let x = f() else as why { … }'"
    ),
    "break": "a repeat ends with 'accept value when condition'",
    "continue": "a fan-out leaves an element out with 'keep x when condition'",
    "True": "write 'true'",
    "False": "write 'false'",
    **dict.fromkeys(("None", "null", "nil", "undefined"), "write 'none'"),
    "from": "write 'import \"file.flow\" as name'",
    "async": "nothing is marked: calls that do not need each other run at the same time",
    "await": "nothing is marked: a value is waited for where it is used",
    "print": "a flow has no output but its result",
    "yield": "a fan-out collects with 'keep value'",
    "assert": "write 'require condition else \"message\"', or 'expect condition' in a test",
}
