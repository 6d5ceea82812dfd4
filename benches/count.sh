#!/bin/sh
# Counts the instructions of the micro benches, where clocks say too little: on a busy machine, or for a change of a few
# per cent. Needs valgrind.
#
#   benches/count.sh [BENCH...]     of codec, scheduler and selection; all of them without a name
#
# Each benchmark runs once, and only what it times is counted, criterion's two looks at the clock included (see
# empty/iter of codec). The counts are the same in each run of a build. Before against after: run it in both trees.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for bench in "${@:-codec scheduler selection}"; do
    # Without a name that is a list.
    for name in $bench; do
        program=$(cargo bench --locked -p titan-benches --bench "$name" --no-run --message-format=json |
            sed -n '/"kind":\["bench"\]/s/.*"executable":"\([^"]*\)".*/\1/p')
        "$program" --bench --list | sed -n 's/: benchmark$//p' >"$folder/names"
        measured='criterion::bencher::Bencher*::iter*'
        # Of one pattern valgrind 3.19 heeds the first option alone.
        valgrind --tool=callgrind --collect-atstart=no --toggle-collect="$measured" --dump-after="*$measured" \
            --callgrind-out-file="$folder/%p" "$program" --test >"$folder/log" 2>&1 || {
            cat "$folder/log" >&2
            exit 1
        }
        # One dump for each benchmark in turn, and one for the end of the program. What it starts has that alone.
        set -- "$folder"/*.1
        dumps=${1%.1}
        part=0
        while read -r benchmark; do
            part=$((part + 1))
            count=$(sed -n 's/^summary: //p' "$dumps.$part")
            printf '%-10s %-40s %12d\n' "$name" "$benchmark" "$count"
        done <"$folder/names"
        rm "$folder"/*
    done
done
