" Vim syntax of doorward policies, *.dw. The words are those of the grammar: a test holds them together.
if exists('b:current_syntax')
  finish
endif

setlocal iskeyword=@,48-57,_,-,.,+
setlocal commentstring=#\ %s

syntax keyword dwVerb define trust default allow block reject expect include masquerade redirect publish
syntax keyword dwWay in out published forward
syntax keyword dwClause from to except on by limit burst per then passive helper log until is outside
syntax keyword dwWord file feed interface ping icmp protocol anything anyone allowed blocked source ban user group unit
syntax match dwPorts /\<\d\+\(-\d\+\)\?\/\(tcp+udp\|tcp\|udp\|sctp\)\>/
syntax match dwRate /\<\d\+\/\(second\|minute\|hour\|day\)\>/
syntax match dwDuration /\<\d\+[smhd]\>/
syntax match dwAddress /\<\d\{1,3}\(\.\d\{1,3}\)\{3}\(\/\d\+\|-\d\{1,3}\(\.\d\{1,3}\)\{3}\)\?\>/
syntax match dwAddress /\<\x*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\(\/\d\+\)\?/
syntax region dwString start=/"/ end=/"/ oneline
syntax match dwComment /#.*$/ contains=@Spell

highlight default link dwVerb Statement
highlight default link dwWay Type
highlight default link dwClause Keyword
highlight default link dwWord Identifier
highlight default link dwPorts Number
highlight default link dwRate Number
highlight default link dwDuration Number
highlight default link dwAddress Constant
highlight default link dwString String
highlight default link dwComment Comment

let b:current_syntax = 'doorward'
