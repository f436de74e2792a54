# Takes the commands out of a Markdown page: every fenced block, and the directives for it that a reader does not see.
#   awk -v out=FOLDER -f docs-blocks.awk PAGE
# FOLDER/steps gets a line per step: line, kind, argument, scenarios (or -), number, separated by tabs; FOLDER/NUMBER is the
# block, FOLDER/NUMBER.expect and FOLDER/NUMBER.input what a directive said of it. Every block becomes a step, whether a
# directive stands before it or not: what can't be run is a step of the kind "error". Directives, each a line of its own:
#   <!-- scenarios: NAME… -->            in which orders the page is read, once at its head; each starts in a fresh place
#   <!-- run: [in=NAME,…] [WHAT] -->     the next block: sh, sql (default by its language), file=PATH, append=PATH, or skip REASON
#   <!-- do: [in=NAME,…] ACTION [WORD…] -->  what the sentence before it tells to do, a function do_ACTION of docs-tests.sh
#   <!-- expect: TEXT -->                the next block's output contains TEXT; any number of them
#   <!-- fails: TEXT -->                 the next block fails, and its output contains TEXT
#   <!-- input: PROMPT => TEXT -->       the next block asks PROMPT on the terminal, and a person types TEXT; in the order of asking
function step(line, kind, argument, scenarios) {
  number++
  printf "%d\t%s\t%s\t%s\t%03d\n", line, kind, (argument == "" ? "-" : argument), (scenarios == "" ? "-" : scenarios), number > (out "/steps")
  printf "" > (out "/" sprintf("%03d", number))
}
function wrong(why) { step(NR, "error", why, "") }
# Takes "in=a,b" off the front of a directive's text.
function scope(text) {
  rest = text; where = ""
  if (rest ~ /^in=/) {
    where = rest; sub(/ .*/, "", where); sub(/^in=/, "", where)
    if (!sub(/^[^ ]+ /, "", rest)) rest = ""
  }
}
function begin_block(language) {
  kind = what; argument = ""
  if (kind == "") kind = language
  if (kind ~ /^skip /) { argument = substr(kind, 6); kind = "skip" }
  else if (kind ~ /^(file|append)=\//) { argument = kind; sub(/^[a-z]*=/, "", argument); sub(/=.*/, "", kind) }
  if (kind != "sh" && kind != "sql" && argument == "") {
    argument = "nothing says what is to be done with this block (language '" language "')"; kind = "error"
  }
  step(NR, kind, argument, scenarios)
  body = out "/" sprintf("%03d", number)
  if (expected != "") printf "%s", expected > (body ".expect")
  if (typed != "") printf "%s", typed > (body ".input")
  what = scenarios = expected = typed = ""; pending = 0
}
inside && /^[ \t]*```[ \t]*$/ { inside = 0; close(body); next }
inside { line = $0; sub(indent, "", line); print line > body; next }
/^[ \t]*```/ {
  language = $0; sub(/^[ \t]*```+[ \t]*/, "", language); sub(/[ \t].*/, "", language)
  indent = $0; sub(/`.*/, "", indent); indent = "^" indent
  inside = 1; begin_block(language); next
}
/^[ \t]*<!-- *(scenarios|run|do|expect|fails|input):.* -->[ \t]*$/ {
  text = $0; sub(/^[ \t]*<!-- */, "", text); sub(/ *-->[ \t]*$/, "", text)
  word = text; sub(/:.*/, "", word); sub(/^[a-z]*: */, "", text)
  if (word == "scenarios") step(NR, "scenarios", text, "")
  else if (word == "do") { scope(text); step(NR, "do", rest, where) }
  else {
    pending = NR
    if (word == "run") { if (what != "" || scenarios != "") wrong("two run: before one block"); scope(text); what = rest; scenarios = where }
    else if (word == "input") typed = typed text "\n"
    else expected = expected word "\t" text "\n"
  }
  next
}
/<!-- *(scenarios|run|do|expect|fails|input)/ { wrong("a directive that is not a line of its own, or not closed") ; next }
pending && !/^[ \t]*$/ { wrong("the directive of line " pending " stands before no block"); pending = 0; what = scenarios = expected = typed = "" }
END {
  if (pending) wrong("the directive of line " pending " stands before no block")
  if (inside) wrong("the last block is not closed")
}
