#!/bin/sh
# The films in this folder, made from ffmpeg's own test pattern (no picture of anybody): ffmpeg 5.1.9, 2026-11-29.
set -e
cd "$(dirname "$0")"
ffmpeg="ffmpeg -v error -y -bitexact"
pattern="testsrc=size=64x48:rate=30"
# 12 frames at 30 a second, then 12 at 5: the times of a phone in the dark
$ffmpeg -f lavfi -i "$pattern:duration=0.8" -vf "settb=1/600,setpts='if(lt(N,12),N/30,(12/30)+(N-12)/5)/TB'" -vsync passthrough -enc_time_base -1 \
  -c:v libx264 -pix_fmt yuv420p -crf 35 variable.mp4
$ffmpeg -i variable.mp4 -c copy variable.mkv
$ffmpeg -f lavfi -i "$pattern:duration=0.4" -c:v libx264 -pix_fmt yuv420p -crf 35 -g 12 upright.mp4
# turned as a phone says it: in the metadata only
for turn in 90 180 270; do
  $ffmpeg -i upright.mp4 -c copy -metadata:s:v rotate=$turn turned$turn.mp4
done
# cut without encoding: the header counts frames that are not shown
$ffmpeg -f lavfi -i "$pattern:duration=2" -c:v libx264 -pix_fmt yuv420p -crf 40 -g 250 -bf 0 whole.mp4
$ffmpeg -ss 1.4 -i whole.mp4 -c copy trimmed.mp4
rm whole.mp4
