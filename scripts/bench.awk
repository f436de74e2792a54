# Makes the table of scripts/bench.sh from its RESULT lines.
function ratio(a, b) { return (b > 0) ? a / b : -1 }
function row(name, keys, ours50, ours99, stock50, stock99, r, target,   verdict) {
  verdict = (target == "") ? "" : (r <= target + 0.0005 && (r >= 0 || ours50 <= 0) ? "met" : "MISSED")
  printf "%-34s %7s %11s %11s %12s %12s %8.3f %7s %s\n", name, keys, ours50, ours99, stock50, stock99, r, target, verdict
  if (verdict == "met") met++
  if (verdict == "MISSED") missed++
}
# One figure against a bound of its own.
function bound(name, k, value, unit, most,   verdict) {
  verdict = (value <= most) ? "met" : "MISSED"
  printf "%-34s %7s %11.2f %-11s %12s %12s %8s %7s %s\n", name, k, value, unit, "-", "-", "-", "<= " most, verdict
  if (verdict == "met") met++; else missed++
}
function million(k,   a, b) {
  if (!(("million_start", "ward", k) in p50)) return
  a = p50["million_start", "ward", k] - p50["million_start", "empty", k]
  bound("these keys at a start, seconds", k, a / 1e6, "s", 1)
  row("start minus start without keyring", k, p50["million_start", "ward", k], p50["million_start", "ward", k], p50["million_start", "file", k], "-", ratio(p50["million_start", "ward", k], p50["million_start", "file", k]), "0.2")
  bound("peak memory over that at 0 keys", k, (p50["million_peak", "ward", k] - p50["million_peak", "empty", k]) / 1e6, "MB", 300)
  bound("the file", k, p50["file_bytes", "ward", k] / 1048576, "MiB", 256)
  bound("import", k, p50["import", "ward", k] / 1e6, "s", 20)
  a = ratio(p50["generate_million", "ward", k], p50["floor_million", "ward", k]); b = ratio(p50["generate_million", "empty", k], p50["floor_million", "empty", k])
  row("generate beside them / at 0, over floors", k, sprintf("%.3f", a), "-", sprintf("%.3f", b), "-", ratio(a, b), "1.1")
}
$1 == "RESULT" { p50[$2, $3, $4] = $5; p99[$2, $3, $4] = $6; n[$2, $3, $4] = $7; level[$4] = 1 }
END {
  printf "%-34s %7s %11s %11s %12s %12s %8s %7s\n", "measure", "keys", "ours p50", "ours p99", "stock p50", "stock p99", "ratio", "target"
  count = split("0 100 1000 10000 50000 100000", keys, " ")
  target["0"] = "1.0"; target["100"] = "1.0"; target["1000"] = "0.6"; target["10000"] = "0.10"; target["50000"] = "0.02"; target["100000"] = "0.02"
  ops = split("generate store remove", op, " ")
  for (o = 1; o <= ops; o++) for (i = 1; i <= count; i++) { k = keys[i]
    if ((op[o], "ward", k) in p50) row(op[o], k, p50[op[o], "ward", k], p99[op[o], "ward", k], p50[op[o], "file", k], p99[op[o], "file", k], ratio(p50[op[o], "ward", k], p50[op[o], "file", k]), target[k]) }
  for (i = 1; i <= count; i++) { k = keys[i]
    if (("floor", "disk", k) in p50) row("generate / append + fdatasync", k, p50["generate", "ward", k], p99["generate", "ward", k], p50["floor", "disk", k], p99["floor", "disk", k], ratio(p50["generate", "ward", k], p50["floor", "disk", k]), "1.15") }
  # What the disk alone takes of the stock component's time: where it is above 1, no durable write can be as fast.
  for (i = 1; i <= count; i++) { k = keys[i]
    if (("floor", "disk", k) in p50 && k <= 100) row("append + fdatasync / stock generate", k, p50["floor", "disk", k], p99["floor", "disk", k], p50["generate", "file", k], p99["generate", "file", k], ratio(p50["floor", "disk", k], p50["generate", "file", k]), "") }
  # Each over the floor of its own moment: the disk's moods are larger than what is asked for.
  for (o = 1; o <= ops; o++) if ((op[o], "ward", 50000) in p50) {
    a = ratio(p50[op[o], "ward", 50000], p50["floor", "disk", 50000]); b = ratio(p50[op[o], "ward", 0], p50["floor", "disk", 0])
    row(op[o] " at 50000 / at 0, over floors", 50000, sprintf("%.3f", a), "-", sprintf("%.3f", b), "-", ratio(a, b), "1.1") }
  for (c = 1; c <= 8; c *= 2) for (i = 1; i <= count; i++) { m = "fetch_" c "_clients"; k = keys[i]
    if ((m, "ward", k) in p50) row("fetch, BENCHMARK, " c " clients", k, p50[m, "ward", k], p99[m, "ward", k], p50[m, "file", k], p99[m, "file", k], ratio(p50[m, "ward", k], p50[m, "file", k]), "0.9")
    m = m "_beside_writer"
    if ((m, "ward", k) in p50) row("fetch beside a writer, " c " clients", k, p50[m, "ward", k], "-", p50[m, "file", k], "-", ratio(p50[m, "ward", k], p50[m, "file", k]), "") }
  for (i = 1; i <= count; i++) { k = keys[i]
    if (("fetch_beside_writer", "ward", k) in p50) row("fetch beside a writer, p99", k, p50["fetch_beside_writer", "ward", k], p99["fetch_beside_writer", "ward", k], p50["fetch_beside_writer", "file", k], p99["fetch_beside_writer", "file", k], ratio(p99["fetch_beside_writer", "ward", k], p99["fetch_beside_writer", "file", k]), "0.10") }
  for (i = 1; i <= count; i++) { k = keys[i]
    if (("start_difference", "ward", k) in p50) row("start minus start without keyring", k, p50["start_difference", "ward", k], p99["start_difference", "ward", k], p50["start_difference", "file", k], p99["start_difference", "file", k], ratio(p50["start_difference", "ward", k], p50["start_difference", "file", k]), k >= 50000 ? "0.25" : "") }
  for (i = 1; i <= count; i++) { k = keys[i]
    if (("reload", "ward", k) in p50 && k != 100 && k != 1000) row("ALTER INSTANCE RELOAD KEYRING", k, p50["reload", "ward", k], p99["reload", "ward", k], p50["reload", "file", k], p99["reload", "file", k], ratio(p50["reload", "ward", k], p50["reload", "file", k]), k == 0 ? "1.5" : "") }
  for (i = 1; i <= count; i++) { k = keys[i]
    if (("memory", "ward", k) in p50 && k >= 10000) { a = (p50["memory", "ward", k] - p50["memory", "ward", 0]) / k; b = (p50["memory", "file", k] - p50["memory", "file", 0]) / k
      row("memory for each key, bytes", k, int(a), "-", int(b), "-", ratio(a, b), "0.5") } }
  for (i = 1; i <= count; i++) { k = keys[i]
    if (("scan", "ward", k) in p50) row("scan of keyring_keys", k, p50["scan", "ward", k], p99["scan", "ward", k], p50["scan", "file", k], p99["scan", "file", k], ratio(p50["scan", "ward", k], p50["scan", "file", k]), k == 10000 ? "0.9" : "") }
  million(20000); million(1000000)
  printf "start without keyring: %s; disk's append + fdatasync p50 at 0 keys: %s; samples of generate at 0 / 100000 keys: ours %s / %s, stock %s / %s\n", p50["start", "none", 0], p50["floor", "disk", 0], n["generate", "ward", 0], n["generate", "ward", 100000], n["generate", "file", 0], n["generate", "file", 100000]
  printf "%d targets met, %d missed\n", met, missed
}
