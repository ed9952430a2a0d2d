# a container's network as netavark makes one, by hand: namespace, veth, bridge, masquerading out, a published port in
clean() {
	ip netns del rastos-in 2>/dev/null || true
	ip netns del rastos-out 2>/dev/null || true
	ip link del rastos0 2>/dev/null || true
	nft delete table ip rastos 2>/dev/null || true
	[ -z "${servers:-}" ] || kill $servers 2>/dev/null || true
}
clean
trap clean EXIT
ip netns add rastos-in
ip netns add rastos-out
ip link add rastos0 type bridge
ip addr add 10.231.0.1/24 dev rastos0
ip link set rastos0 up
ip link add rastos1 type veth peer name eth0 netns rastos-in
ip link set rastos1 master rastos0 up
ip -n rastos-in addr add 10.231.0.2/24 dev eth0
ip -n rastos-in link set eth0 up
ip -n rastos-in route add default via 10.231.0.1
ip link add rastos2 type veth peer name eth0 netns rastos-out
ip addr add 192.0.2.1/24 dev rastos2
ip link set rastos2 up
ip -n rastos-out addr add 192.0.2.2/24 dev eth0
ip -n rastos-out link set eth0 up
# the way back exists without NAT too: so it is the address that shows NAT, not silence
ip -n rastos-out route add default via 192.0.2.1
before="$(cat /proc/sys/net/ipv4/ip_forward)"
echo 1 >/proc/sys/net/ipv4/ip_forward
nft -f - <<END
table ip rastos {
  chain out { type nat hook postrouting priority srcnat; ip saddr 10.231.0.0/24 oifname "rastos2" masquerade; }
  chain in { type nat hook prerouting priority dstnat; iifname "rastos2" tcp dport 8080 dnat to 10.231.0.2:80; }
}
END
server='
import http.server
class Who(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode())
    def log_message(self, *words):
        pass
http.server.HTTPServer(("", 80), Who).serve_forever()
'
ip netns exec rastos-out python3 -c "$server" &
servers=$!
ip netns exec rastos-in python3 -c "$server" &
servers="$servers $!"
answers() { ip netns exec "$1" curl -sf -m 10 "$2" >$place/answer; }
mkdir -p $place
until_true 120 answers rastos-in http://192.0.2.2/
[ "$(cat $place/answer)" = 192.0.2.1 ] || fail "not masqueraded: outside saw $(cat $place/answer)"
until_true 120 answers rastos-out http://192.0.2.1:8080/
[ "$(cat $place/answer)" = 192.0.2.2 ] || fail "the published port saw $(cat $place/answer)"
echo "$before" >/proc/sys/net/ipv4/ip_forward
echo "HTTP out of the container is masqueraded (nftables), and in by a published port"
