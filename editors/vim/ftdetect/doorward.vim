autocmd BufNewFile,BufRead *.dw setfiletype doorward
