mkdir -p $place/overlay && cd $place/overlay
umount merged 2>/dev/null || true
rm -rf lower upper work merged && mkdir lower upper work merged
echo below >lower/kept
echo below >lower/removed
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
trap 'umount $place/overlay/merged' EXIT
echo above >merged/kept
rm merged/removed
[ "$(cat lower/kept upper/kept merged/kept | tr '\n' ' ')" = "below above above " ] || fail "a write went astray"
[ ! -e merged/removed ] && [ -e lower/removed ] && [ -c upper/removed ] || fail "a removal went astray"
echo "writes go to the upper layer, a whiteout hides what is below"
