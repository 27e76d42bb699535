#!/usr/bin/env bash
# The gate: looks at the machine, runs the scenarios, checks that what is on record says the same as the exit code, reports,
# and ends with 0 only where nothing is wrong. The same on a laptop, a CPU runner and a GPU runner. See ci/README.md.
set -euo pipefail

usage() {
    cat <<'HELP'
Usage: ci/gate.sh [OPTIONS] [-- OPTIONS OF `placebench run` OR `merge`]

What is judged
  --paths PATH            Scenario file or folder; may be given several times [default: scenarios]
  --profile NAME          Profile of placebench.toml [default: $PLACEBENCH_PROFILE, else ci]
  --partition hash:I/N    Only this shard; one without a case passes
  --merge DIR             Run nothing: put the runs of shards together and judge them; may be given several times
  --against BIN           Hold it against another program, in turns
  --baseline NAME         Hold it against a stored baseline
  --baseline-lenient NAME The same; what the baseline lacks is no fault

What the answer means
  --unclear warn|fail|N   Whether it fails if --against cannot tell timings apart (112) [default: warn with profile ci, else
                          fail]; a number: end with that, for a CI system that shows chosen codes as warnings. Missing or
                          implausible figures, another machine, an interrupted run, a lost device and a lost exit code
                          fail always, with 112
  --judge-later           End with 0 once the results are complete and on record: for shards, which the merge judges

How
  --output-dir DIR        Where runs are kept [default: $PLACEBENCH_OUTPUT_DIR, else reports]
  --deadline TIME         For everything together: 90s, 45m, 2h [default: 60m]
  --grace TIME            From being asked to end to being killed [default: 60s]
  --lock FILE             One gate at a time holds this file; others wait until their deadline
                          [default: .gate.lock in the output directory; name one file for all checkouts that share GPUs]
  --skip-doctor           Do not look at the machine first
  --help

Environment
  PLACEBENCH_BIN          The program. Absent: built from this repository (with CUDA where there is a driver), else
                          `placebench` from PATH
  PLACEBENCH_ARTIFACTS    Folder to copy the run to
  GATE_ALLOW_SLOWER=1     Being slower (111) does not fail
  GATE_CUDA=auto|yes|no   Whether to build with CUDA [default: auto]

Exit codes are those of placebench: 0 passed, 100 a case failed, 111 slower, 112 no verdict, 113 snapshots wait for review,
96 machine, scenarios or program must be put right first, 2 usage, 4 nothing selected, 94 bad filter; 130 and 143 if cancelled.
HELP
}

# ---- words ---------------------------------------------------------------------------------------------------------------

on_github() { [ "${GITHUB_ACTIONS:-}" = true ]; }

# announce KIND MESSAGE: on standard error, and as an annotation where the CI system knows them.
announce() {
    local text=$2
    heed_commands
    printf 'gate: %s: %s\n' "$1" "$text" >&2
    if on_github; then
        text=${text//'%'/%25}
        text=${text//$'\r'/%0D}
        text=${text//$'\n'/%0A}
        printf '::%s title=placebench gate::%s\n' "$1" "$text"
    fi
}
say() { printf 'gate: %s\n' "$*" >&2; }
give_up() { # CODE MESSAGE
    announce error "$2"
    exit "$1"
}

# What programs print is shown, and never obeyed: a model's text may look like a workflow command.
stopped=''
shown_only() {
    local status=0
    if on_github; then
        stopped=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
        printf '::stop-commands::%s\n' "$stopped"
    fi
    "$@" || status=$?
    heed_commands
    return "$status"
}
heed_commands() {
    [ -z "$stopped" ] || printf '\n::%s::\n' "$stopped"
    stopped=''
}

# ---- processes -----------------------------------------------------------------------------------------------------------

# seconds TIME: 90, 90s, 45m or 2h as seconds.
seconds() {
    case $1 in
    *[!0-9smh]* | "" | [smh]* | *[smh]?*) return 1 ;;
    *h) printf '%s\n' "$((10#${1%h} * 3600))" ;;
    *m) printf '%s\n' "$((10#${1%m} * 60))" ;;
    *) printf '%s\n' "$((10#${1%s}))" ;;
    esac
}

child='' cancelled='' signalled=''
# The first signal asks the running command to end, which closes its records; the next ones are handed on too.
on_signal() {
    cancelled=$1 signalled=1
    say "caught SIG$2: ending what runs"
    [ -z "$child" ] || kill -TERM "$child" 2> /dev/null || true
}
trap 'on_signal 129 HUP' HUP
trap 'on_signal 130 INT' INT
trap 'on_signal 143 TERM' TERM

# If this script itself is killed, what it started is asked to end all the same.
tether=()
if setpriv --help 2> /dev/null | grep -q -- --pdeathsig; then
    tether=(setpriv --pdeathsig TERM --)
fi

# to_end COMMAND...: runs it under the deadline, in a process group of its own so that a Ctrl-C reaches it once, by this
# script. Answers with its exit code; 124 and 137 if the deadline ended it. Ends the gate if that was cancelled.
to_end() {
    local left=$((deadline_s - SECONDS)) status
    [ -z "$cancelled" ] || end_cancelled
    [ "$left" -gt 0 ] || return 124
    set -m
    "${tether[@]}" timeout --foreground --kill-after="$grace_s" "$left" "$@" < /dev/null &
    child=$!
    set +m
    [ -z "$cancelled" ] || kill -TERM "$child" 2> /dev/null || true
    while :; do
        signalled='' status=0
        wait "$child" || status=$?
        # A wait that a signal ended says nothing about the child.
        [ -n "$signalled" ] || break
    done
    child=''
    [ -z "$cancelled" ] || end_cancelled
    return "$status"
}

# The CI system kills what is left some seconds after it has asked, so that only what must be done is.
end_cancelled() {
    [ -n "$run" ] || ! is_new "$(newest)" || run=$output_dir/$(newest)
    announce error "cancelled; what was finished is on record in ${run:-no folder}"
    [ -z "$run" ] || hand_over
    exit "$cancelled"
}

# ---- the program ---------------------------------------------------------------------------------------------------------

# A driver that hangs shall not hang the gate.
has_gpu() { command -v nvidia-smi > /dev/null && to_end timeout --kill-after=5 20 nvidia-smi -L > /dev/null 2>&1 9>&-; }

# Sets `program`.
find_program() {
    program=$given_program
    if [ -n "$program" ]; then
        [ -f "$program" ] && [ -x "$program" ] || give_up 96 "PLACEBENCH_BIN: $program is not a program that can be run"
        program=$(realpath -- "$program")
        return
    fi
    local root
    root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
    if [ -f "$root/Cargo.toml" ] && [ -d "$root/harness/cli" ] && command -v cargo > /dev/null; then
        build "$root"
    elif program=$(command -v placebench); then
        say "using $program"
    else
        give_up 96 "there is no program: set PLACEBENCH_BIN, put placebench on PATH, or install Rust to build it"
    fi
}

build() { # ROOT
    local root=$1 cuda=${GATE_CUDA:-auto} status=0 target
    case $cuda in
    auto) if has_gpu; then cuda=yes; else cuda=no; fi ;;
    yes | no) ;;
    *) give_up 2 "GATE_CUDA is \`$cuda\`: expected auto, yes or no" ;;
    esac
    target=${CARGO_TARGET_DIR:-$root/target}
    local command=(cargo build --release --locked --manifest-path "$root/Cargo.toml" -p placebench)
    if [ "$cuda" = yes ] && command -v nvcc > /dev/null; then
        command+=(--features cuda)
    elif [ "$cuda" = yes ]; then
        say "there is no nvcc: ci/build-cuda.sh brings its own"
        command=(bash "$root/ci/build-cuda.sh") target=${CUDA_TARGET_DIR:-$root/target/cuda}
    fi
    say "building: ${command[*]}"
    shown_only to_end "${command[@]}" 9>&- || status=$?
    [ "$status" -eq 0 ] || give_up 96 "the program cannot be built: ${command[*]} ended with $(words_of "$status")"
    program=$target/release/placebench
    [ -x "$program" ] || give_up 96 "the build left no $program"
}

words_of() {
    case $1 in
    124) echo "124 (the deadline of $deadline)" ;;
    137) echo "137 (killed: by the deadline, or for want of memory)" ;;
    129 | 13[0-9] | 14[0-9]) echo "$1 (signal $(($1 - 128)), $(kill -l "$(($1 - 128))"))" ;;
    *) echo "$1" ;;
    esac
}

# ---- steps ---------------------------------------------------------------------------------------------------------------

take_lock() {
    mkdir -p -- "$output_dir" || give_up 96 "$output_dir cannot be made"
    command -v flock > /dev/null || { say "there is no flock: nothing keeps two gates apart" && return; }
    { exec 9>> "$lock"; } 2> /dev/null || give_up 96 "the lock $lock cannot be written"
    flock --nonblock 9 && return
    say "another gate holds $lock: waiting"
    to_end flock 9 || give_up 96 "another gate held $lock for the whole deadline of $deadline"
}

look_at_the_machine() {
    local status=0
    say "looking at devices and links"
    shown_only to_end "$program" doctor --quick 9>&- || status=$?
    case $status in
    0) ;;
    112) announce warning "doctor could not look everywhere on this machine; see its lines above" ;;
    100) give_up 96 "a device or link of this machine is corrupt or stalls (see the lines of doctor above): no run here would mean anything. Take the machine out of service; CUDA_VISIBLE_DEVICES leaves a card out" ;;
    *) give_up 96 "doctor ended with $(words_of "$status")" ;;
    esac
}

# The newest run; nothing if there is none. A file system without links has the name in a file.
newest() {
    local name=''
    if [ -L "$output_dir/latest" ]; then
        name=$(readlink -- "$output_dir/latest")
    elif [ -f "$output_dir/latest" ]; then
        name=$(cat -- "$output_dir/latest")
    fi
    printf '%s' "$name"
}

is_new() { [ -n "$made" ] && [ "$1" != "$before" ]; }

# Runs or merges. Sets `code`, and `run`: the folder, nothing if none was made.
make_results() {
    local command status=0
    if [ "${#merge[@]}" -gt 0 ]; then
        command=("$program" merge "${merge[@]}" --output-dir "$output_dir")
        # Shards of other machines name a folder that may not be here.
        [ ! -d "${paths[0]}/snapshots" ] || command+=(--snapshot-dir "${paths[0]}/snapshots")
    else
        command=("$program" run "${paths[@]}" --profile "$profile" --output-dir "$output_dir" "${held_against[@]}")
        [ -z "$partition" ] || command+=(--partition "$partition" --no-cases pass)
    fi
    command+=("${more[@]}")
    say "${command[*]}"
    before=$(newest) made=1
    shown_only to_end "${command[@]}" 9>&- || status=$?
    code=$status
    ! is_new "$(newest)" || run=$output_dir/$(newest)
}

# top_level KEY: a value of verdict.json that is a number or a word. The file is written with two spaces a level, and a text
# cannot hold a line break, so that the pattern can match nothing else.
top_level() { sed -n -E "s/^  \"$1\": ([a-z0-9]+),?\$/\1/p" "$run/verdict.json"; }
of_gate() { sed -n -E 's/^    "exit_code": ([0-9]+),?$/\1/p' "$run/verdict.json"; }

# The exit code and what is on record must agree. A code that got lost on the way (a wrapper, a killed process, a pipe) is no
# pass.
check_record() {
    local recorded
    case $code in
    2 | 4 | 94) exit "$code" ;; # nothing was run, and the program has said why
    96) [ -n "$run" ] && [ -f "$run/verdict.json" ] || exit 96 ;;
    124 | 137)
        report_to_ci
        give_up 112 "the run was ended: $(words_of "$code"). What was finished is on record in ${run:-no folder}; placebench run --resume goes on with it"
        ;;
    esac
    if [ -z "$run" ]; then
        if [ "$code" -eq 0 ] && [ -n "$partition" ]; then
            say "this shard has no cases"
            exit 0
        fi
        give_up 112 "the program ended with $(words_of "$code") and left no run in $output_dir"
    fi
    [ -f "$run/verdict.json" ] || give_up 112 "the program ended with $(words_of "$code"), and $run has no verdict.json"
    recorded=$(top_level exit_code)
    if [ -z "$recorded" ] || [ "$(tail -n 1 -- "$run/verdict.json")" != '}' ]; then
        give_up 112 "$run/verdict.json is damaged, or not of this program"
    fi
    [ "$recorded" = "$code" ] \
        || give_up 112 "the program ended with $(words_of "$code"), but $run/verdict.json says $recorded: the exit code was lost on the way"
}

# A merged run is held against the baseline by `compare`: the shards were not. The weightier answer counts.
compare_merged() {
    local kind=${held_against[0]:-} status=0 format=human order=' 0 113 112 111 96 100 ' own=$code
    [ "${#merge[@]}" -gt 0 ] && [ "$kind" = --baseline ] || return 0
    on_github && format=github
    to_end "$program" compare "baseline:${held_against[1]}" "$run" --format "$format" 9>&- || status=$?
    case $order in
    *" $status "*) ;;
    *) give_up 112 "compare ended with $(words_of "$status")" ;;
    esac
    [[ ${order%% "$own" *} != *" $status"* ]] && code=$status
    return 0
}

report_to_ci() {
    local status=0
    [ -n "$run" ] || return 0
    if on_github && [ -z "$judge_later" ]; then
        to_end "$program" report "$run" --format github 9>&- || status=$?
        [ "$status" -eq 0 ] || announce warning "the summary could not be made: report ended with $(words_of "$status")"
    fi
    hand_over
}

# Where things are, for people and for the steps that come after.
hand_over() {
    say "run: $run"
    say "junit: $run/junit.xml"
    say "report: $run/report.html"
    if [ -n "${GITHUB_OUTPUT:-}" ]; then
        printf 'run=%s\njunit=%s\n' "$run" "$run/junit.xml" >> "$GITHUB_OUTPUT"
    fi
    keep_artifacts
}

# Whole or not at all, and never over something that is not an earlier copy.
keep_artifacts() {
    local to=$artifacts new
    [ -n "$to" ] || return 0
    to=${to%/} new=${to%/}.new.$$
    if [ -e "$to" ] && [ ! -f "$to/run.json" ] && [ -n "$(ls -A -- "$to" 2> /dev/null || echo unreadable)" ]; then
        announce warning "PLACEBENCH_ARTIFACTS: $to holds something else than a run: nothing was copied"
        return 0
    fi
    if mkdir -p -- "$(dirname -- "$to")" && cp -R -- "$run" "$new" && rm -rf -- "$to" && mv -- "$new" "$to"; then
        say "artifacts: $to"
    else
        rm -rf -- "$new"
        announce warning "the run could not be copied to $to; it is in $run"
    fi
}

# True where 112 says that timings of two programs in turns cannot be told apart, and nothing else: no figure is missing or
# implausible, no machine differs, nothing was left out. A stored baseline's times do not gate, so that its 112 is never this.
only_unclear() {
    local gate
    gate=$(sed -n '/^  "gate": {$/,$p' "$run/verdict.json")
    [ "$(top_level complete)" = true ] && [ "$(of_gate)" = 112 ] \
        && grep -q '^      "kind": "program"' <<< "$gate" \
        && grep -q '"change": "unclear"' <<< "$gate" && ! grep -q '"change": "no_verdict"' <<< "$gate" \
        && ! grep -q -E '"recovered":false|"processes_left":[1-9]' "$run/attempts.jsonl"
}

review_first() {
    give_up 113 "snapshots wait for review. On your machine: placebench run ${paths[*]}; placebench review ${paths[*]} (or cargo insta review), then commit the .snap files"
}

decide() {
    if [ -n "$judge_later" ]; then
        [ "$(top_level complete)" = true ] || give_up "$code" "the shard is not complete (exit code $code): it cannot be merged"
        # A merge judges cases anew, but not what a shard was held against.
        if [ "$(of_gate)" != "$code" ]; then
            say "exit code $code is on record; the merge judges"
            exit 0
        fi
    fi
    case $code in
    0) say "passed" ;;
    100) give_up 100 "a case failed: see the summary above and $run/report.html. placebench bisect CASE finds the module, hop or device to blame" ;;
    111)
        [ "${GATE_ALLOW_SLOWER:-}" = 1 ] || give_up 111 "slower than before, by more than this machine's noise: see the table above. GATE_ALLOW_SLOWER=1 lets it through; a slow-down that is meant needs a new baseline (--save-baseline)"
        announce warning "slower than before; let through by GATE_ALLOW_SLOWER=1"
        ;;
    112)
        if [ "$unclear" != fail ] && only_unclear; then
            announce warning "nothing is wrong, but some timings cannot be decided: see the reasons above; more pairs or a quieter machine help"
            # 112 outweighs 113, and is let through here: snapshots still are to be reviewed.
            ! grep -q '"status": "pending"' "$run/verdict.json" || review_first
            [ "$unclear" = warn ] || exit "$unclear"
            return
        fi
        give_up 112 "no verdict: see the reasons above; where the run was interrupted or lost a device, put that right and run again"
        ;;
    113) review_first ;;
    *) give_up "$code" "the run ended with $(words_of "$code")" ;;
    esac
}

# ---- the command line ----------------------------------------------------------------------------------------------------

paths=() merge=() more=() held_against=()
profile=${PLACEBENCH_PROFILE:-ci} partition='' unclear='' judge_later='' skip_doctor=''
output_dir=${PLACEBENCH_OUTPUT_DIR:-reports} deadline=60m grace=60s lock=''
wrong() { give_up 2 "$1; see ci/gate.sh --help"; }
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h)
        usage
        exit 0
        ;;
    --skip-doctor) skip_doctor=1 && shift && continue ;;
    --judge-later) judge_later=1 && shift && continue ;;
    --)
        shift
        more=("$@")
        break
        ;;
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    --paths | --profile | --partition | --merge | --against | --baseline | --baseline-lenient | --unclear | --output-dir | \
        --deadline | --grace | --lock)
        [ $# -gt 1 ] || wrong "$1 needs a value"
        ;;
    *) wrong "unknown option $1" ;;
    esac
    [ -n "$2" ] || wrong "$1 is empty"
    case $2 in *[[:cntrl:]]*) wrong "$1 holds a control character" ;; esac
    case $1 in
    --paths) paths+=("$2") ;;
    --profile) profile=$2 ;;
    --partition) partition=$2 ;;
    --merge) merge+=("$2") ;;
    --against | --baseline | --baseline-lenient)
        [ "${#held_against[@]}" -eq 0 ] || wrong "${held_against[0]} and $1 exclude each other"
        held_against=("$1" "$2")
        ;;
    --unclear) unclear=$2 ;;
    --output-dir) output_dir=${2%/} ;;
    --deadline) deadline=$2 ;;
    --grace) grace=$2 ;;
    --lock) lock=$2 ;;
    *) wrong "unknown option $1" ;;
    esac
    shift 2
done
[ "${#paths[@]}" -gt 0 ] || paths=(scenarios)
[ -n "$unclear" ] || { [ "$profile" = ci ] && unclear=warn || unclear=fail; }
case $unclear in
warn | fail) ;;
[1-9] | [1-9][0-9]) ;; # below all codes that mean something else, but for these
*) wrong "--unclear is \`$unclear\`: expected warn, fail or a number from 1 to 99" ;;
esac
case $unclear in 2 | 4 | 94 | 96) wrong "--unclear $unclear means something else" ;; esac
deadline_s=$(seconds "$deadline") || wrong "--deadline is \`$deadline\`: expected a time such as 90s, 45m or 2h"
grace_s=$(seconds "$grace") || wrong "--grace is \`$grace\`: expected a time such as 60s"
if [ "${#merge[@]}" -gt 0 ]; then
    [ -z "$partition$judge_later" ] || wrong "--merge judges all shards: leave --partition and --judge-later out"
    [ "${held_against[0]:-}" != --against ] || wrong "--against runs two programs in turns: give it to the shards"
fi
[ -z "$judge_later" ] || [ "${#held_against[@]}" -eq 0 ] \
    || wrong "${held_against[0]} cannot be judged later: give a baseline to the merge, or leave --judge-later out"
case ${held_against[0]:-} in
--baseline-lenient) [ "${#merge[@]}" -eq 0 ] || wrong "--merge knows --baseline only" ;;
esac
lock=${lock:-$output_dir/.gate.lock}
# These two are this script's; the program takes them for misspelt settings.
given_program=${PLACEBENCH_BIN:-} artifacts=${PLACEBENCH_ARTIFACTS:-}
unset PLACEBENCH_BIN PLACEBENCH_ARTIFACTS
timeout --version 2> /dev/null | grep -q GNU || give_up 96 "the deadline needs timeout of GNU coreutils"

code='' run='' program='' before='' made=''
take_lock
find_program
[ -n "$skip_doctor" ] || [ "${#merge[@]}" -gt 0 ] || look_at_the_machine
make_results
check_record
compare_merged
report_to_ci
[ -z "$cancelled" ] || end_cancelled
decide
