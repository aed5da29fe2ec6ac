// GraphFile
