module inferbench

go 1.26
